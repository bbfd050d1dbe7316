--
-- Claims that need training: short, narrow (d 32), a constant learning rate that is high for the size.
--
\pset null '-'
SELECT jsonb_build_object('d_model', 32, 'd_ffn', 64, 'heads', 4, 'vocab_size', 400, 'max_length', 64, 'batch_tokens', 512, 'threads', 1,
                          'dropout', 0, 'schedule', 'constant', 'learning_rate', 0.003, 'max_steps', 200, 'validation', '0.03',
                          'validate_every', 50, 'validation_beam', 1, 'average_checkpoints', 0) AS base \gset
SET client_min_messages = error;
CREATE TABLE runs AS
SELECT s.scheme, n.layers, w.warmup,
       residual_train(concat_ws('_', s.scheme, n.layers, w.warmup), 'pairs', 'en', 'de',
                      :'base'::jsonb || jsonb_build_object('scheme', s.scheme, 'layers', n.layers, 'warmup_steps', w.warmup)) AS job
  FROM unnest(ARRAY['post', 'pre', 'residual']) s (scheme), (VALUES (12, 0), (12, 100), (18, 100)) w (layers, warmup),
       LATERAL (SELECT w.layers) n;
RESET client_min_messages;
SELECT count(residual_wait(job)) AS runs FROM runs;

\echo
\echo Validation loss (nats a token) of 12 + 12 layers without a warm-up, and of 12 + 12 and 18 + 18 with one of 100 steps
\echo Guessing by frequency gives about 5.0.  Expected: without a warm-up ResiDual and Pre-LN learn where Post-LN does not; deep Post-LN fails or lags.
WITH losses AS (
    SELECT r.scheme, r.layers, r.warmup, (array_agg(t.validation_loss ORDER BY t.step))[1] AS early,
           (array_agg(t.validation_loss ORDER BY t.step DESC))[1] AS late
      FROM runs r LEFT JOIN residual_training_log t USING (job) GROUP BY 1, 2, 3)
SELECT layers, warmup, scheme, round(early::numeric, 2) AS "step 50", round(late::numeric, 2) AS "step 200",
       CASE scheme WHEN 'post' THEN 'worse than both others by 0.5' ELSE 'below 4' END AS expected,
       CASE scheme WHEN 'post' THEN COALESCE(late, 'infinity') > 0.5 + (SELECT max(o.late) FROM losses o WHERE (o.layers, o.warmup) = (l.layers, l.warmup) AND o.scheme <> 'post')
                   ELSE late < 4 END AS shown
  FROM losses l ORDER BY layers, warmup, scheme;
SELECT r.scheme, r.layers, j.state, j.error FROM runs r JOIN residual_jobs j USING (job) WHERE j.state <> 'done';
DROP TABLE runs;
