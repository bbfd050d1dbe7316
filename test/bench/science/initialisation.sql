--
-- Claims that fresh models can be asked: no training.  Narrow models (d 32), three seeds; ratios are geometric means.
--
\pset null '-'
CREATE TABLE fresh AS
SELECT s.scheme, n.layers, seed, jsonb_build_object('scheme', s.scheme, 'layers', n.layers, 'seed', seed, 'd_model', 32, 'd_ffn', 128,
       'heads', 4, 'vocab_size', 400, 'max_length', 64, 'batch_tokens', 512, 'rows', 1000) AS options
  FROM unnest(ARRAY['post', 'pre', 'residual']) s (scheme), unnest(ARRAY[6, 12, 24]) n (layers), generate_series(1, 3) seed;

\echo
\echo 1. Gradients of the lowest decoder layer in proportion to the highest: Post-LN shrinks with depth, Pre-LN does not vanish, ResiDual has a floor
CREATE TABLE gradients AS
SELECT f.scheme, f.layers, f.seed, g.* FROM fresh f, LATERAL residual_layer_gradients(f.options, 'pairs', 'en', 'de') g;
CREATE TABLE ratios AS
SELECT scheme, layers, stack, exp(avg(ln(lowest / highest))) AS ratio
  FROM (SELECT scheme, g.layers, seed, stack, max(gradient_norm) FILTER (WHERE layer = 0) AS lowest,
               max(gradient_norm) FILTER (WHERE layer = g.layers - 1) AS highest FROM gradients g GROUP BY 1, 2, 3, 4) r
 GROUP BY 1, 2, 3;
SELECT scheme, stack, round(max(ratio) FILTER (WHERE layers = 6)::numeric, 4) AS "6", round(max(ratio) FILTER (WHERE layers = 12)::numeric, 4) AS "12",
       round(max(ratio) FILTER (WHERE layers = 24)::numeric, 4) AS "24",
       CASE WHEN stack = 'encoder' THEN NULL WHEN scheme = 'post' THEN 'falls, below 0.05 at 24' WHEN scheme = 'pre' THEN 'above 0.5 at every depth'
            ELSE '5 times Post-LN''s at 24, at least' END AS expected,
       CASE WHEN stack = 'encoder' THEN NULL
            WHEN scheme = 'post' THEN max(ratio) FILTER (WHERE layers = 24) < 0.05 AND max(ratio) FILTER (WHERE layers = 12) < max(ratio) FILTER (WHERE layers = 6)
            WHEN scheme = 'pre' THEN min(ratio) > 0.5
            ELSE max(ratio) FILTER (WHERE layers = 24) > 5 * (SELECT ratio FROM ratios p WHERE p.scheme = 'post' AND p.layers = 24 AND p.stack = 'decoder') END AS shown
  FROM ratios GROUP BY scheme, stack ORDER BY stack, scheme;

\echo
\echo 2. Cosine of the outputs of neighbouring layers in the upper half of the stack: Pre-LN grows alike, ResiDual does not
WITH cosines AS (
    SELECT f.scheme, f.layers, s.stack, avg(s.previous_layer) AS cosine
      FROM fresh f, LATERAL residual_similarity(f.options, 'pairs', 'en', 'de') s
     WHERE f.seed = 1 AND s.previous_layer IS NOT NULL AND s.layer >= f.layers / 2 GROUP BY 1, 2, 3)
SELECT scheme, stack, round(max(cosine) FILTER (WHERE layers = 6)::numeric, 3) AS "6", round(max(cosine) FILTER (WHERE layers = 12)::numeric, 3) AS "12",
       round(max(cosine) FILTER (WHERE layers = 24)::numeric, 3) AS "24",
       CASE scheme WHEN 'pre' THEN 'grows, above 0.95 at 24' WHEN 'residual' THEN 'as Post-LN''s, below Pre-LN''s' END AS expected,
       CASE scheme WHEN 'pre' THEN max(cosine) FILTER (WHERE layers = 24) > 0.95 AND max(cosine) FILTER (WHERE layers = 24) > max(cosine) FILTER (WHERE layers = 6)
                   WHEN 'residual' THEN max(cosine) FILTER (WHERE layers = 24) < (SELECT cosine FROM cosines p WHERE p.scheme = 'pre' AND p.layers = 24 AND p.stack = c.stack) END AS shown
  FROM cosines c GROUP BY scheme, stack ORDER BY stack, scheme;

\echo
\echo 3. Squared change of the output of a stack under a random step of all weights, 24 layers in proportion to 6: Post-LN ~ N (4), Pre-LN ~ log N (1.8)
WITH changes AS (
    SELECT f.scheme, f.layers, o.stack, exp(avg(ln(o.squared_change))) AS change
      FROM fresh f, LATERAL residual_output_change(f.options, 'pairs', 'en', 'de') o WHERE o.direction = 'random' GROUP BY 1, 2, 3)
SELECT d.scheme, d.stack, round((d.change / c.change)::numeric, 2) AS "12 / 6", round((e.change / c.change)::numeric, 2) AS "24 / 6",
       CASE d.scheme WHEN 'post' THEN 'about 4' WHEN 'pre' THEN 'below 2.5' END AS expected,
       CASE d.scheme WHEN 'post' THEN e.change / c.change BETWEEN 2.5 AND 8 WHEN 'pre' THEN e.change / c.change < 2.5 END AS shown
  FROM changes c JOIN changes d USING (scheme, stack) JOIN changes e USING (scheme, stack)
 WHERE c.layers = 6 AND d.layers = 12 AND e.layers = 24 ORDER BY d.stack, d.scheme;

\echo
\echo 4. Sizes of gradients at 24 layers, in the decoder: how many are where the condition number of Adam is bad (at epsilon 1e-8, below about 1e-7)?
SELECT f.scheme, round(min(c.gradient_rms)::numeric, 7) AS least_rms, round(max(c.gradient_rms)::numeric, 7) AS largest_rms,
       round((sum(c.below_1e6 * c.elements) / sum(c.elements))::numeric, 4) AS "below 1e-6", round((sum(c.below_1e7 * c.elements) / sum(c.elements))::numeric, 4) AS "below 1e-7",
       round((sum(c.below_1e8 * c.elements) / sum(c.elements))::numeric, 4) AS "below 1e-8",
       round((max(c.below_1e7) FILTER (WHERE c.layer = 0))::numeric, 4) AS "below 1e-7, lowest layer"
  FROM fresh f, LATERAL residual_adam_condition(f.options, 'pairs', 'en', 'de') c
 WHERE f.layers = 24 AND f.seed = 1 AND c.stack = 'decoder' GROUP BY f.scheme ORDER BY f.scheme;

\echo
\echo 5. Attention with running scores (RealFormer): neighbouring layers look at the same, so the divergence falls
WITH divergences AS (
    SELECT how, a.stack, a.attention, avg(a.divergence) AS divergence, avg(a.entropy) AS entropy, max(a.max_score) AS max_score
      FROM unnest(ARRAY['none', 'sum', 'mean']) how,
           LATERAL residual_attention_stats((SELECT options FROM fresh WHERE scheme = 'post' AND layers = 12 AND seed = 1) ||
                                            jsonb_build_object('score_residual', how), 'pairs', 'en', 'de') a
     GROUP BY 1, 2, 3)
SELECT stack, attention, round(max(divergence) FILTER (WHERE how = 'none')::numeric, 4) AS none, round(max(divergence) FILTER (WHERE how = 'sum')::numeric, 4) AS sum,
       round(max(divergence) FILTER (WHERE how = 'mean')::numeric, 4) AS mean, 'sum and mean below none' AS expected,
       greatest(max(divergence) FILTER (WHERE how = 'sum'), max(divergence) FILTER (WHERE how = 'mean')) < max(divergence) FILTER (WHERE how = 'none') AS shown
  FROM divergences GROUP BY stack, attention ORDER BY stack, attention;

\echo
\echo 6. What ResiDual costs over Post-LN: the paper says about 3 % of training time
SELECT quantity, unit, value, post_norm, round(ratio::numeric, 4) AS ratio
  FROM residual_cost('{"layers": 6, "d_model": 128, "d_ffn": 512, "heads": 4, "batch_tokens": 512, "max_length": 64, "vocab_size": 1000, "repeats": 101}');
DROP TABLE fresh, gradients, ratios;
