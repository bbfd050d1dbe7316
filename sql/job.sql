--
-- jobs: waiting and cancelling
--
CREATE TABLE pairs AS SELECT format('word %s', i) AS en, format('wort %s', i) AS de FROM generate_series(1, 100) i;
CREATE FUNCTION start(model text, steps bigint DEFAULT 1000000000, more jsonb DEFAULT '{}') RETURNS bigint LANGUAGE sql AS $$
    SELECT residual_train(model, 'pairs', 'en', 'de',
        '{"layers": 1, "d_model": 8, "d_ffn": 8, "heads": 1, "max_length": 32, "threads": 1, "batch_tokens": 64, "validation": "0"}'
        || jsonb_build_object('max_steps', steps) || more)
$$;

SELECT start('endless') AS job \gset
SELECT residual_wait(:job, '0') IN ('queued', 'running') AS under_way;
SELECT residual_wait(:job, '10 ms') IN ('queued', 'running') AS under_way;
SELECT residual_wait(:job, '-1 day') IN ('queued', 'running') AS under_way;
SELECT count(*) FROM residual_jobs WHERE job = :job AND state IN ('queued', 'running');
SELECT residual_cancel(:job);
SELECT residual_wait(:job);
SELECT state, reason, phase, error FROM residual_jobs WHERE job = :job;
SELECT residual_job_is_live(:job);

-- once more
SELECT residual_cancel(:job);
SELECT residual_resume(:job);
SELECT residual_wait(:job, '0') IN ('queued', 'running') AS under_way;
SELECT residual_cancel(:job);
SELECT residual_wait(:job);

-- whoever asks for validation and gets none can see it
SELECT start('unvalidated', 1, '{"validation": "1e-9"}') AS job \gset
SELECT residual_wait(:job);
SELECT state, held_out, note FROM residual_jobs WHERE job = :job;
SELECT residual_drop_model('unvalidated');

-- waiting can be cancelled itself
SELECT start('waited_for') AS job \gset
SET statement_timeout = '200ms';
SELECT residual_wait(:job);
RESET statement_timeout;
SELECT residual_cancel(:job);
SELECT residual_wait(:job);

-- in one transaction
\set VERBOSITY verbose
BEGIN;
SELECT start('own') AS job \gset
SELECT replace(state, 'queued', 'not started yet') AS state FROM residual_jobs WHERE job = :job;
\set VERBOSITY sqlstate
SELECT residual_wait(:job);
ROLLBACK;
SELECT residual_wait(:job);

-- a job that nobody has
\set VERBOSITY default
SELECT residual_wait(0);
SELECT residual_cancel(0);
SELECT residual_resume(0);
SELECT residual_wait(NULL);
SELECT residual_cancel(NULL), residual_resume(NULL), residual_job_is_live(NULL), residual_job_is_live(0);

-- while a model is trained
SELECT start('busy') AS job \gset
SELECT residual_wait(:job, '0') IN ('queued', 'running') AS under_way;
\set VERBOSITY sqlstate
SELECT start('busy');
SELECT residual_cancel(:job);
\set VERBOSITY default
SELECT residual_wait(:job);

-- a job that has taken its place keeps the other from being resumed
SELECT :job AS first_job \gset
SELECT start('busy') AS job \gset
\set VERBOSITY sqlstate
SELECT residual_resume(:first_job);
\set VERBOSITY default
SELECT residual_cancel(:job);
SELECT residual_wait(:job);

DROP FUNCTION start;
DROP TABLE pairs;
