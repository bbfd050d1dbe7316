--
-- diagnostics: of fresh models and of trained ones; what is said when they cannot be made
--
CREATE TABLE pairs (id serial, en text, de text);
INSERT INTO pairs (en, de) VALUES
    ('the dog sees the cat', 'der hund sieht die katze'),
    ('the cat sees the dog', 'die katze sieht den hund'),
    ('the bird sings', 'der vogel singt'),
    ('the house is old', 'das haus ist alt'),
    ('the car is new', 'das auto ist neu'),
    ('we drink water', 'wir trinken wasser'),
    ('they eat bread', 'sie essen brot'),
    ('a green tree', 'ein grüner baum'),
    ('', 'nichts'), (NULL, 'niemand'),
    ('good morning', 'guten morgen'),
    ('good night', 'gute nacht');
\set small '\'{"layers": 2, "d_model": 16, "d_ffn": 32, "heads": 2, "max_length": 32, "batch_tokens": 100}\'::jsonb'

-- a row a tensor; twice the same; the largest is 1; layers are counted from 0
SELECT count(*) > 40 AS many, count(DISTINCT tensor) = count(*) AS distinct, sum(elements) > 5000 AS elements,
       max(relative_gradient_norm) AS largest_gradient, max(relative_update_norm) AS largest_update,
       min(layer) AS first, max(layer) AS last, bool_and(gradient_norm >= 0 AND update_norm > 0) AS norms
  FROM residual_probe(:small, 'pairs', 'en', 'de');
SELECT stack, layer, sublayer, count(*) FROM residual_probe(:small, 'pairs', 'en', 'de')
 WHERE layer = 1 GROUP BY stack, layer, sublayer ORDER BY stack, sublayer;
SELECT count(*) AS differences FROM (
    (SELECT * FROM residual_probe(:small, 'pairs', 'en', 'de') EXCEPT SELECT * FROM residual_probe(:small, 'pairs', 'en', 'de'))
) d;
-- a layer's norm is that of its tensors
WITH tensors AS (SELECT stack, layer, sqrt(sum(gradient_norm ^ 2)) AS gradients, sqrt(sum(update_norm ^ 2)) AS updates,
                        max(gradient_norm) FILTER (WHERE tensor LIKE '%.ff.2.w') AS ffn
                   FROM residual_probe(:small, 'pairs', 'en', 'de') WHERE layer IS NOT NULL GROUP BY stack, layer)
SELECT l.stack, l.layer, abs(gradients / gradient_norm - 1) < 1e-4 AS same_gradients,
       abs(updates / update_norm - 1) < 1e-4 AS same_updates, abs(ffn / ffn_gradient_norm - 1) < 1e-4 AS same_ffn,
       stream_gradient_norm > 0 AS stream
  FROM residual_layer_gradients(:small, 'pairs', 'en', 'de') l JOIN tensors USING (stack, layer) ORDER BY 1, 2;

-- every scheme, every diagnostic
CREATE FUNCTION diagnose(scheme text, OUT scheme_name text, OUT tensors bigint, OUT layers bigint, OUT changes bigint,
                         OUT similarities bigint, OUT heads bigint, OUT sizes bigint) LANGUAGE plpgsql AS $$
DECLARE
    o jsonb := jsonb_build_object('scheme', scheme, 'layers', 2, 'd_model', 16, 'd_ffn', 16, 'heads', 2, 'max_length', 32,
                                  'batch_tokens', 40);
BEGIN
    scheme_name := scheme;
    SELECT count(gradient_norm) INTO tensors FROM residual_probe(o, 'pairs', 'en', 'de');
    SELECT count(stream_gradient_norm) INTO layers FROM residual_layer_gradients(o, 'pairs', 'en', 'de');
    SELECT count(*) FILTER (WHERE change > 0) INTO changes FROM residual_output_change(o, 'pairs', 'en', 'de');
    SELECT count(tokens) INTO similarities FROM residual_similarity(o, 'pairs', 'en', 'de')
     WHERE abs(tokens) <= 1 AND coalesce(abs(previous), 0) <= 1.000001;
    SELECT count(*) FILTER (WHERE entropy >= 0 AND max_score >= 0 AND one_hot_share BETWEEN 0 AND 1) INTO heads
      FROM residual_attention_stats(o, 'pairs', 'en', 'de')
     WHERE (layer = 1) = (divergence IS NULL) AND coalesce(divergence, 0) BETWEEN -1e-9 AND ln(2) + 1e-9;
    SELECT count(*) INTO sizes FROM residual_adam_condition(o, 'pairs', 'en', 'de')
     WHERE below_1e6 >= below_1e7 AND below_1e11 >= below_1e12 AND below_1e12 >= zero AND frobenius_norm >= spectral_norm;
END $$;
SELECT d.* FROM residual_schemes s, diagnose(s.name) d ORDER BY scheme_name COLLATE "C";

-- layer dependency: without norms between (pre) beta_ij falls as the stream grows; the last row of Post-LN forgets the input
SELECT stack, bool_and(beta BETWEEN 0 AND 1.5) AS sane, count(*), count(dual_beta)
  FROM residual_layer_dependency(:small || '{"scheme": "pre"}', 'pairs', 'en', 'de') GROUP BY stack ORDER BY stack;
SELECT stack, count(beta) = count(dual_beta) AS both, max(beta) FILTER (WHERE sublayer = 0) AS first
  FROM residual_layer_dependency(:small, 'pairs', 'en', 'de') GROUP BY stack ORDER BY stack;
SELECT stack, layer, on_sublayer, beta, round(layer_weight::numeric, 6) AS layer_weight
  FROM residual_layer_dependency(:small || '{"scheme": "dlcl"}', 'pairs', 'en', 'de') WHERE stack = 'encoder' ORDER BY layer, on_sublayer;
SELECT count(*) FROM residual_layer_dependency(:small || '{"scheme": "b2t"}', 'pairs', 'en', 'de');

-- a step twice as large moves the output about four times as far, squared
SELECT a.stack, a.direction, b.squared_change / a.squared_change BETWEEN 3.6 AND 4.4 AS fourfold
  FROM residual_output_change(:small || '{"random_step": 1e-4, "gradient_step": 1e-5}', 'pairs', 'en', 'de') a
  JOIN residual_output_change(:small || '{"random_step": 2e-4, "gradient_step": 2e-5}', 'pairs', 'en', 'de') b USING (stack, direction)
 ORDER BY 1, 2;

-- Adam's Jacobian at its first step: learning rate / epsilon where gradients vanish
SELECT count(*), round((max(spectral_norm))::numeric) AS most, min(spectral_norm) < 100 AS least
  FROM residual_adam_curve('{"learning_rate": 1e-4, "epsilon": 1e-8}');

-- a decoder alone is looked at in the same way
SELECT stack, count(*), count(beta), count(dual_beta)
  FROM residual_layer_dependency(:small || '{"architecture": "decoder"}', 'pairs', 'en', 'de') GROUP BY stack;
SELECT stack, attention, count(*) FROM residual_attention_stats(:small || '{"architecture": "decoder"}', 'pairs', 'en', 'de') GROUP BY 1, 2;

-- cost: counted exactly, measured roughly
SELECT quantity, unit, value > 0 AS there, CASE quantity WHEN 'parameters' THEN value - post_norm END AS more,
       CASE WHEN quantity IN ('flops_per_token') THEN ratio END AS ratio
  FROM residual_cost(:small || '{"vocab_size": 50, "repeats": 1}');
SELECT value - post_norm AS more FROM residual_cost(:small || '{"scheme": "admin", "vocab_size": 50, "repeats": 1}') WHERE quantity = 'parameters';

-- a trained model: its weights, whichever version; the tokenizer of one for a fresh one
SELECT residual_train('glass', 'pairs', 'en', 'de', :small || '{"threads": 1, "max_steps": 1, "validation": "0"}') AS job \gset
SELECT residual_wait(:job);
SELECT residual_train('glass', 'pairs', 'en', 'de', :small || '{"threads": 1, "max_steps": 2, "validation": "0"}') AS job \gset
SELECT residual_wait(:job);
SELECT version, count(*) > 40 AS many, bool_and(abs(p.parameter_norm - w.norm) <= 1e-5 * (1 + w.norm)) AS same_weights
  FROM generate_series(1, 2) version, residual_weights('glass', version) w,
       residual_probe(jsonb_build_object('model', 'glass', 'version', version, 'batch_tokens', 100), 'pairs', 'en', 'de') p
 WHERE p.tensor = w.tensor GROUP BY version ORDER BY version;
SELECT count(*) FROM residual_attention_stats('{"model": "glass"}', 'pairs', 'en', 'de');
SELECT count(*) > 40 AS fresh FROM residual_probe(:small || '{"tokenizer_of": "glass"}', 'pairs', 'en', 'de');
SELECT residual_drop_version('glass', 1);
SELECT residual_probe('{"model": "glass", "version": 1}', 'pairs', 'en', 'de');
SELECT residual_probe('{"model": "glas"}', 'pairs', 'en', 'de');
SELECT residual_probe('{"model": "glass", "layers": 3}', 'pairs', 'en', 'de');
SELECT residual_probe('{"model": "glass", "tokenizer_of": "glass"}', 'pairs', 'en', 'de');
SELECT residual_probe('{"version": 1}', 'pairs', 'en', 'de');
SELECT count(*) > 40 AS whole FROM residual_probe('{"model": "glass", "batch_tokens": 40, "label_smoothing": 0}', 'pairs', 'en', 'de');

-- options that are wrong
SELECT residual_probe('{"scheme": "residul"}', 'pairs', 'en', 'de');
SELECT residual_similarity('{"scheme": "post", "branch_scale": 0.5}', 'pairs', 'en', 'de');
SELECT residual_layer_dependency('{"layers": 0}', 'pairs', 'en', 'de');
SELECT residual_output_change('{"random_steps": 1e-3}', 'pairs', 'en', 'de');
SELECT residual_output_change('{"random_step": 0}', 'pairs', 'en', 'de');
SELECT residual_probe('{"random_step": 1e-3}', 'pairs', 'en', 'de');
SELECT residual_probe('{"rows": 1.5}', 'pairs', 'en', 'de');
SELECT residual_cost('{"rows": 5}');
SELECT residual_cost('{"repeats": 0}');
SELECT residual_probe('[]', 'pairs', 'en', 'de');
SELECT residual_probe(NULL, 'pairs', 'en', 'de');
SELECT residual_probe('{}', 'pairs', NULL, 'de');
SELECT residual_probe('{"vocab_size": 20}', 'pairs', 'en', 'de');
SELECT residual_cost('{"device": "cuda"}');

-- tables that are wrong
SELECT residual_probe('{}', 'pairs', 'english', 'de');
SELECT residual_probe('{}', 'pairs', 'id', 'de');
CREATE TABLE empty (en text, de text);
SELECT residual_adam_condition('{}', 'empty', 'en', 'de');
INSERT INTO empty VALUES ('', 'leer'), (NULL, NULL), ('blank', ' ');
SELECT residual_adam_condition('{}', 'empty', 'en', 'de');
SELECT residual_attention_stats('{"max_length": 4}', 'pairs', 'en', 'de');
CREATE TEMP TABLE here (en text, de text);
INSERT INTO here SELECT en, de FROM pairs;
SELECT count(*) > 40 AS temporary_too FROM residual_probe(:small, 'here', 'en', 'de');
-- rows that ask the serving engine themselves
CREATE VIEW translated AS SELECT en, residual_translate(en, 'glass') || ' x' AS de FROM pairs;
SELECT count(*) > 40 AS translated_too FROM residual_probe(:small, 'translated', 'en', 'de');

-- who may: the function, the rows, the model
CREATE ROLE regress_looker;
SET ROLE regress_looker;
SELECT residual_probe('{}', 'pairs', 'en', 'de');
SELECT residual_cost();
RESET ROLE;
GRANT EXECUTE ON FUNCTION residual_probe TO regress_looker;
SET ROLE regress_looker;
SELECT residual_probe('{}', 'pairs', 'en', 'de');
RESET ROLE;
GRANT SELECT ON pairs TO regress_looker;
SET ROLE regress_looker;
SELECT count(*) > 40 AS may FROM residual_probe(:small, 'pairs', 'en', 'de');
SELECT residual_probe('{"model": "glass"}', 'pairs', 'en', 'de');
SELECT residual_probe('{"tokenizer_of": "glass"}', 'pairs', 'en', 'de');
RESET ROLE;
ALTER TABLE pairs ENABLE ROW LEVEL SECURITY;
SET ROLE regress_looker;
SELECT residual_probe('{}', 'pairs', 'en', 'de');
RESET ROLE;
ALTER TABLE pairs DISABLE ROW LEVEL SECURITY;

-- cancelling closes the connection, by which the process ends
SET statement_timeout = '500ms';
SELECT count(*) FROM residual_probe('{"layers": 40, "d_model": 512, "d_ffn": 2048, "heads": 8, "batch_tokens": 256}', 'pairs', 'en', 'de');
SELECT count(*) FROM residual_cost('{"layers": 6, "d_model": 256, "repeats": 1000}');
RESET statement_timeout;
DO $$
BEGIN
    FOR i IN 1..500 LOOP
        EXIT WHEN (SELECT value FROM residual_serving_status() WHERE name = 'apart') = '0';
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$;
SELECT value AS still_running FROM residual_serving_status() WHERE name = 'apart';
SELECT residual_translate('good morning', 'glass') IS NOT NULL AS serves_on;

REVOKE EXECUTE ON FUNCTION residual_probe FROM regress_looker;
DROP VIEW translated;
DROP TABLE pairs, empty, here;
DROP ROLE regress_looker;
DROP FUNCTION diagnose;
SELECT residual_drop_model('glass');
