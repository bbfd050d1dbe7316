--
-- a decoder without an encoder: source and target are one sequence
--
CREATE TABLE pairs (en text, de text);
INSERT INTO pairs VALUES
    ('the dog sees the cat', 'der hund sieht die katze'),
    ('the cat sees the dog', 'die katze sieht den hund'),
    ('the bird sings', 'der vogel singt'),
    ('the house is old', 'das haus ist alt'),
    ('we drink water', 'wir trinken wasser'),
    ('they eat bread', 'sie essen brot'),
    ('a green tree', 'ein grüner baum'),
    ('good morning', 'guten morgen');
CREATE FUNCTION tiny() RETURNS jsonb LANGUAGE sql AS $$
    SELECT '{"architecture": "decoder", "layers": 2, "d_model": 32, "d_ffn": 64, "heads": 2, "max_length": 32, "threads": 1,
             "dropout": 0, "label_smoothing": 0, "batch_tokens": 256, "learning_rate": 0.01, "warmup_steps": 20, "max_steps": 200,
             "validation": "0"}'::jsonb
$$;
SELECT residual_train('one_stack', 'pairs', 'en', 'de', tiny() || '{"score_residual": "mean"}') AS job \gset
SELECT residual_wait(:job);
-- no tensor of an encoder, no cross-attention, one table of embeddings
SELECT count(*) FILTER (WHERE tensor LIKE 'enc.%' OR tensor LIKE '%.ca.%' OR tensor LIKE '%\_embed') AS none,
       count(*) FILTER (WHERE tensor = 'embed') AS embed, count(*) FILTER (WHERE tensor LIKE 'dec.%') AS decoder
  FROM residual_weights('one_stack');
-- learned by heart
SELECT en, residual_translate(en, 'one_stack') = de AS right FROM pairs;
SELECT metric, round(value::numeric, 6) AS value FROM residual_evaluate('one_stack', 'pairs', 'en', 'de', '{"beam": 4}')
 WHERE metric IN ('bleu', 'exact_match');
-- beam search, scores and batches go the same way: the best of n is the translation, with the score of residual_score
SELECT count(*) AS sentences, bool_and(n.translation = t.translation) AS best, bool_and(abs(n.score - residual_score(en, n.translation, 'one_stack')) < 1e-4) AS score
  FROM pairs, LATERAL residual_nbest(en, 3, 'one_stack', '{"length_penalty": 0, "beam": 3}') n,
       LATERAL (SELECT residual_translate(en, 'one_stack', '{"length_penalty": 0, "beam": 3}') AS translation) t
 WHERE n.rank = 1;
SELECT residual_translate(array_agg(en ORDER BY en), 'one_stack') = array_agg(residual_translate(en, 'one_stack') ORDER BY en) AS batch FROM pairs;
SELECT array_length(residual_embed('the bird sings', 'one_stack'), 1);
-- what answers must hold, and pieces; there is nothing to align by
SELECT residual_translate('the bird sings', 'one_stack', '{"prefix": "der", "glossary": {"sings": "singt"}}'),
       residual_translate('the bird sings %s', 'one_stack', '{"preserve": true}') LIKE '%\%s%' AS kept,
       residual_translate('the bird sings', 'one_stack', '{"sampling": true, "temperature": 0.001}');
SELECT abs(sum(log_probability) - residual_score('the bird sings', 'der vogel singt', 'one_stack')) < 1e-4 AS add_up
  FROM residual_token_scores('the bird sings', 'der vogel singt', 'one_stack');
SELECT * FROM residual_alignment('the bird sings', 'der vogel singt', 'one_stack');
-- what is longer than a source may be is cut
SELECT length(residual_translate(repeat('the dog sees ', 100), 'one_stack')) > 0 AS cut;
-- gradients at the start, layer by layer
SELECT stack, count(*), bool_and(gradient_norm > 0) AS norms FROM residual_layer_gradients(tiny() || '{"layers": 3}', 'pairs', 'en', 'de') GROUP BY stack;
SELECT DISTINCT stack, layer FROM residual_probe(tiny(), 'pairs', 'en', 'de') ORDER BY stack, layer;
SELECT stack, count(*) FROM residual_similarity(tiny() || '{"scheme": "pre"}', 'pairs', 'en', 'de') GROUP BY stack;
SELECT stack, attention, count(*), bool_and(entropy >= 0) AS entropy FROM residual_attention_stats(tiny(), 'pairs', 'en', 'de') GROUP BY stack, attention;
SELECT stack, direction, squared_change > 0 AS changed FROM residual_output_change(tiny(), 'pairs', 'en', 'de') ORDER BY direction;
SELECT stack, count(*) FROM residual_layer_dependency(tiny(), 'pairs', 'en', 'de') GROUP BY stack;
SELECT quantity, value > 0 AS known, ratio >= 1 AS not_less FROM residual_cost(tiny() || '{"scheme": "pre"}') WHERE quantity IN ('parameters', 'flops') OR quantity LIKE '%FLOP%' OR quantity LIKE '%flop%';
-- the architecture is the model's, and options of encoders alone are not its own
SELECT residual_train('one_stack', 'pairs', 'en', 'de', '{"from": "active", "architecture": "encoder_decoder"}');
SELECT residual_train('other', 'pairs', 'en', 'de', '{"architecture": "encoder"}');
SELECT residual_train('other', 'pairs', 'en', 'de', '{"architecture": "decoder", "encoder_scheme": "fixed", "branch_scale": 0.3}');
SELECT residual_drop_model('one_stack');
DROP FUNCTION tiny;
DROP TABLE pairs;
