--
-- Admin's factors, measured before training and folded away after it
--
CREATE TABLE pairs AS
SELECT format('%s %s see %s', n, a, i) AS en, format('%s %s sehen %s', m, b, i) AS de
  FROM (VALUES ('dogs', 'hunde'), ('cats', 'katzen'), ('birds', 'vogel'), ('fish', 'fische')) x(n, m),
       (VALUES ('red', 'rot'), ('green', 'grun'), ('blue', 'blau')) y(a, b), generate_series(1, 20) i;
CREATE TABLE dev AS SELECT * FROM pairs WHERE hashtext(en) % 5 = 0;
CREATE FUNCTION train(model text, more jsonb) RETURNS bigint LANGUAGE sql AS $$
    SELECT residual_train(model, 'pairs', 'en', 'de',
        '{"scheme": "admin", "layers": 2, "d_model": 16, "d_ffn": 32, "heads": 2, "max_length": 32, "threads": 1, "dropout": 0,
          "batch_tokens": 256, "learning_rate": 0.01, "warmup_steps": 20, "max_steps": 60, "validation": "dev", "seed": 3}' || more)
$$;
SET client_min_messages = error;
SELECT train('folded', '{"fold_omega": true}') AS folded \gset
SELECT train('kept', '{}') AS kept \gset
SELECT train('one_stack', '{"fold_omega": true, "architecture": "decoder", "admin_omega": "profile_ones"}') AS one_stack \gset
SELECT train('half', '{"fold_omega": true, "decoder_scheme": "residual"}') AS half \gset
RESET client_min_messages;
SELECT residual_wait(:folded), residual_wait(:kept), residual_wait(:one_stack), residual_wait(:half);
-- what is left is Post-LN without a factor
SELECT model, configuration->>'encoder_scheme' AS encoder, configuration->>'decoder_scheme' AS decoder,
       configuration->>'fold_omega' AS fold_omega, (SELECT count(*) FROM residual_weights(model) WHERE tensor LIKE '%.omega') AS omegas
  FROM residual_versions WHERE model IN ('folded', 'kept', 'one_stack', 'half') ORDER BY model;
-- the factors were measured, and not all ones
SELECT count(*) FILTER (WHERE w[1] > 1.05) > 0 AS measured FROM residual_weights('kept'), LATERAL residual_weight('kept', tensor) w WHERE tensor LIKE '%.omega';
-- and is counted as what it is
SELECT model, parameters = (SELECT sum(bytes) / 4 FROM residual_weights(model)) AS counted
  FROM residual_versions WHERE model IN ('folded', 'kept', 'one_stack', 'half') ORDER BY model;
-- the batch that was measured is told: the same for the same seed and rows, another for another seed
SELECT train('other', '{"seed": 4, "max_steps": 1}') AS other, train('no_batch', '{"admin_omega": "sqrt", "max_steps": 1}') AS no_batch \gset
SELECT residual_wait(:other), residual_wait(:no_batch);
SELECT j.note = k.note AS same_batch, n.note IS NULL AS none, o.note <> k.note AS other_batch,
       k.note ~ '^factors were measured on \d+ source and \d+ target tokens of the first batch, digest [0-9a-f]{32}$' AS told,
       (regexp_match(k.note, '(\d+) target'))[1]::int BETWEEN 1 AND 256 AS within_a_batch
  FROM residual_jobs k, residual_jobs j, residual_jobs o, residual_jobs n
 WHERE k.model = 'kept' AND j.model = 'folded' AND o.job = :other AND n.job = :no_batch;
-- outputs agree before and after: the loss that training found at its end is that of the folded model
SELECT l.model, abs(l.nll - e.value) < 1e-4 AS agrees
  FROM (SELECT DISTINCT ON (j.model) j.model, t.validation_nll AS nll FROM residual_training_log t JOIN residual_jobs j USING (job)
         WHERE j.model IN ('folded', 'kept', 'one_stack', 'half') ORDER BY j.model, t.best DESC, t.step DESC) l,
       LATERAL residual_evaluate(l.model, 'dev', 'en', 'de') e
 WHERE e.metric = 'loss' ORDER BY l.model;
-- training goes on from it as the Post-LN model that it is
SELECT residual_train('folded', 'pairs', 'en', 'de', '{"from": "active", "scheme": "admin"}');
SELECT residual_train('another', 'pairs', 'en', 'de', '{"scheme": "post", "fold_omega": true}');
SELECT residual_drop_model(m) FROM unnest(ARRAY['folded', 'kept', 'one_stack', 'half', 'other', 'no_batch']) m;
DROP FUNCTION train;
DROP TABLE pairs, dev;
