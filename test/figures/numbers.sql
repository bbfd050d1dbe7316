--
-- The numbers of the figures, as tables; depths is a list of numbers.
--
SET client_min_messages = error;
SELECT jsonb_build_object('d_model', 32, 'd_ffn', 64, 'heads', 4, 'vocab_size', 400, 'max_length', 64) AS base \gset

-- loss curves first, so that they run beside the rest
CREATE TABLE run AS
SELECT s.scheme, residual_train('curve_' || s.scheme, 'pairs', 'en', 'de', :'base'::jsonb || jsonb_build_object('scheme', s.scheme,
           'layers', 12, 'batch_tokens', 512, 'threads', 1, 'dropout', 0, 'warmup_steps', 0, 'schedule', 'constant', 'learning_rate', 0.003,
           'max_steps', 200, 'validation', '0.03', 'validate_every', 20, 'validation_beam', 1, 'average_checkpoints', 0)) AS job
  FROM unnest(ARRAY['post', 'pre', 'residual']) s (scheme);

CREATE TABLE fresh AS
SELECT s.name AS scheme, n AS layers, :'base'::jsonb || jsonb_build_object('scheme', s.name, 'layers', n, 'batch_tokens', 256, 'rows', 500) AS options
  FROM residual_schemes s, unnest(ARRAY[:depths]) n;

CREATE TABLE gradients AS
SELECT f.scheme, f.layers, g.stack, g.layer, g.gradient_norm, g.stream_gradient_norm, g.update_norm
  FROM fresh f, LATERAL residual_layer_gradients(f.options, 'pairs', 'en', 'de') g ORDER BY 1, 2, 3, 4;
CREATE TABLE changes AS
SELECT f.scheme, f.layers, o.stack, o.direction, o.squared_change
  FROM fresh f, LATERAL residual_output_change(f.options, 'pairs', 'en', 'de') o ORDER BY 1, 3, 4, 2;
CREATE TABLE similarities AS
SELECT f.scheme, f.layers, s.stack, s.layer, s.previous_layer, s.tokens
  FROM fresh f, LATERAL residual_similarity(f.options, 'pairs', 'en', 'de') s
 WHERE f.layers = least(24, (SELECT max(layers) FROM fresh)) AND s.previous_layer IS NOT NULL ORDER BY 1, 3, 4;
CREATE TABLE curve AS SELECT * FROM residual_adam_curve('{"learning_rate": 1e-4}');
CREATE TABLE sizes AS
SELECT f.scheme, f.layers, c.stack, c.layer, c.gradient_rms, c.below_1e7, c.condition
  FROM fresh f, LATERAL residual_adam_condition(f.options || '{"learning_rate": 1e-4}', 'pairs', 'en', 'de') c
 WHERE f.scheme IN ('post', 'pre', 'residual') AND f.layers = least(24, (SELECT max(layers) FROM fresh)) AND c.layer IS NOT NULL
 ORDER BY 1, 3, 4;

SELECT count(residual_wait(job)) FROM run;
CREATE TABLE losses AS
SELECT r.scheme, t.step, t.validation_loss, t.loss FROM run r JOIN residual_training_log t USING (job) ORDER BY 1, 2;
