--
-- sweeps: a job for each combination of a grid's values
--
CREATE TABLE pairs AS SELECT format('word %s', i) AS en, format('wort %s', i) AS de FROM generate_series(1, 200) i;
CREATE FUNCTION tiny() RETURNS jsonb LANGUAGE sql AS $$
    SELECT '{"d_model": 16, "d_ffn": 16, "heads": 2, "max_length": 32, "threads": 1, "batch_tokens": 128, "layers": 1,
             "warmup_steps": 0, "max_steps": 30, "validate_every": 15, "validation": "0.1", "stats_every": 0}'::jsonb
$$;
-- three schemes, two seeds, and one that is bound to fail
SET client_min_messages = warning;
SELECT residual_sweep('study', 'pairs', 'en', 'de', tiny() || '{"seed": [1, 2],
    "scheme": ["residual", {"scheme": "fixed", "norm": "post", "branch_scale": 0.5}, {"scheme": "pre", "learning_rate": 10, "weight_decay": 10, "clip_norm": 0}]}');
RESET client_min_messages;
SELECT run, residual_wait(job) FROM residual_sweep_runs WHERE sweep = 'study' ORDER BY run;
SELECT run, model, settings, state, validation_loss IS NOT NULL AS judged, error IS NOT NULL AS error, duration > '0' AS duration
  FROM residual_sweep_runs WHERE sweep = 'study' ORDER BY run;
SELECT settings, runs, done, diverged, loss > 0 AS loss, loss_deviation > 0 AS deviation, bleu >= 0 AS bleu,
       failures[1] LIKE 'study.5 diverged: training diverged: the loss of step % is not a finite number' AS failure, cardinality(failures) AS failures
  FROM residual_sweep_results WHERE sweep = 'study' ORDER BY settings;
-- the numbers are those of the models
SELECT r.settings, abs(r.loss - x.mean) < 1e-12 AS mean, abs(r.loss_deviation - x.deviation) < 1e-12 AS deviation,
       r.best = (x.mean = min(x.mean) OVER ()) AS best
  FROM residual_sweep_results r
  JOIN (SELECT s.settings - 'seed' AS settings, (max(v.validation_loss) + min(v.validation_loss)) / 2 AS mean,
               (max(v.validation_loss) - min(v.validation_loss)) / sqrt(2) AS deviation
          FROM residual_sweep_runs s JOIN residual_versions v ON v.model = s.model AND v.active
         WHERE s.sweep = 'study' GROUP BY 1) x USING (settings)
 WHERE r.sweep = 'study' ORDER BY r.settings;
-- what was asked for is what was trained
SELECT s.run, v.configuration->>'encoder_scheme' AS scheme, v.configuration->>'branch_scale' AS branch_scale, j.options->>'seed' AS seed,
       j.options->>'max_steps' AS max_steps
  FROM residual_sweep_runs s JOIN residual_versions v ON v.model = s.model JOIN residual_jobs j ON j.job = s.job ORDER BY s.run;
SELECT sweep, runs, done, running, queued, not_done FROM residual_sweeps;
-- diverged runs are left alone
SELECT residual_sweep_resume('study'), residual_sweep_cancel('study');
SELECT residual_sweep('study', 'pairs', 'en', 'de', '{"seed": [1]}');

-- cancelled as a whole, the running and the queued; and taken up again
SET client_min_messages = warning;
SELECT residual_sweep('long', 'pairs', 'en', 'de', tiny() || '{"max_steps": 1000000000, "seed": [1, 2, 3, 4]}');
\set VERBOSITY sqlstate
SELECT residual_sweep_drop('long');
\set VERBOSITY default
SELECT residual_sweep_cancel('long');
RESET client_min_messages;
SELECT run, residual_wait(job) FROM residual_sweep_runs WHERE sweep = 'long' ORDER BY run;
SELECT sweep, runs, done, running, queued, not_done FROM residual_sweeps ORDER BY sweep;
SELECT settings, runs, done, loss, best, cardinality(failures) AS failures FROM residual_sweep_results WHERE sweep = 'long';
SET client_min_messages = warning;
SELECT residual_sweep_resume('long');
SELECT residual_sweep_cancel('long');
RESET client_min_messages;
SELECT run, residual_wait(job) FROM residual_sweep_runs WHERE sweep = 'long' ORDER BY run;

-- a rollback leaves nothing
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT residual_sweep('undone', 'pairs', 'en', 'de', tiny() || '{"seed": [1, 2, 3]}');
ROLLBACK;
SELECT count(*) FROM residual_sweeps WHERE sweep = 'undone';

-- bad input
SELECT residual_sweep('bad', 'pairs', 'en', 'de', '[]');
SELECT residual_sweep('bad', 'pairs', 'en', 'de', NULL);
SELECT residual_sweep('', 'pairs', 'en', 'de', '{}');
SELECT residual_sweep('bad', 'pairs', 'en', 'fr', '{}');
SELECT residual_sweep('bad', 'pairs', 'en', 'de', '{"seed": []}');
SELECT residual_sweep('bad', 'pairs', 'en', 'de', '{"seed": [1, [2]]}');
SELECT residual_sweep('bad', 'pairs', 'en', 'de', '{"scheme": {"scheme": "fixed"}}');
SELECT residual_sweep('bad', 'pairs', 'en', 'de', '{"layer": [1, 2]}');
SELECT residual_sweep('bad', 'pairs', 'en', 'de', '{"layers": [1, 0]}');
SELECT residual_sweep('bad', 'pairs', 'en', 'de', '{"scheme": ["residual", "residul"]}');
SELECT residual_sweep('bad', 'pairs', 'en', 'de', '{"scheme": ["fixed", "residual"], "branch_scale": [0.2]}');
SELECT residual_sweep('bad', 'pairs', 'en', 'de', '{"seed": [null]}');
SELECT residual_sweep('bad', 'pairs', 'en', 'de', jsonb_build_object('seed', (SELECT jsonb_agg(i) FROM generate_series(1, 1001) i)));
SELECT residual_sweep_cancel('bad');
SELECT residual_sweep_resume('bad');
SELECT residual_sweep_drop('bad');
SELECT count(*) FROM residual_sweeps WHERE sweep = 'bad';

-- rights
CREATE ROLE rt_sweeper LOGIN;
SET ROLE rt_sweeper;
SELECT residual_sweep('mine', 'pairs', 'en', 'de', '{}');
RESET ROLE;
GRANT EXECUTE ON FUNCTION residual_sweep TO rt_sweeper;
SET ROLE rt_sweeper;
SELECT residual_sweep('mine', 'pairs', 'en', 'de', '{}');
SELECT residual_sweep_cancel('study');
SELECT residual_sweep_resume('study');
SELECT residual_sweep_drop('study');
SELECT (SELECT count(*) FROM residual_sweeps), (SELECT count(*) FROM residual_sweep_runs), (SELECT count(*) FROM residual_sweep_results);
SELECT * FROM residual.sweep;
RESET ROLE;
DROP OWNED BY rt_sweeper;
DROP ROLE rt_sweeper;

SELECT residual_sweep_drop('study', false);
SELECT count(*) FROM residual_models WHERE model LIKE 'study.%';
SELECT count(residual_drop_model(model)) FROM residual_models WHERE model LIKE 'study.%';
SELECT residual_sweep_drop('long');
SELECT count(*) FROM residual_sweeps;
DROP FUNCTION tiny;
DROP TABLE pairs;
