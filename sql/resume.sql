--
-- a cancelled job goes on from its last checkpoint and ends as if nothing had been
--
CREATE TABLE pairs AS SELECT format('word %s and %s', i, i % 7) AS en, format('wort %s und %s', i, i % 7) AS de FROM generate_series(1, 200) i;
CREATE FUNCTION start(model text) RETURNS bigint LANGUAGE sql AS $$
    SELECT residual_train(model, 'pairs', 'en', 'de',
        '{"layers": 1, "d_model": 16, "d_ffn": 32, "heads": 2, "max_length": 32, "threads": 2, "batch_tokens": 128, "dropout": 0.1,
          "max_steps": 1000, "checkpoint_every": 20, "keep_checkpoints": 3, "validate_every": 500, "validation": "0.1", "patience": 0}')
$$;

SELECT start('whole') AS whole \gset
SELECT residual_wait(:whole);
SELECT start('broken') AS broken \gset
-- wait for a checkpoint, without sleeping longer than it takes
DO $$
BEGIN
    FOR i IN 1 .. 1200 LOOP
        EXIT WHEN EXISTS (SELECT FROM residual_jobs WHERE model = 'broken' AND checkpoint_step >= 60);
        PERFORM pg_sleep(0.05);
        COMMIT;
    END LOOP;
END $$;
SELECT residual_cancel(:broken);
SELECT residual_wait(:broken);
SELECT checkpoint_step BETWEEN 1 AND 999 AS on_the_way FROM residual_jobs WHERE job = :broken;
SELECT count(*) > 0 AS kept FROM residual.checkpoint WHERE job = :broken;
SELECT count(*) AS models FROM residual_models WHERE model = 'broken';
-- the last three are there, and it goes on from the first of them
SELECT count(*) AS checkpoints, bool_and(bytes > 0) AS have_bytes, min(step) < max(step) AS differ,
       max(step) FILTER (WHERE resumed_from) = max(step) AS from_the_last
  FROM residual_checkpoints WHERE job = :broken;
SELECT residual_resume(0, 20);
\set VERBOSITY sqlstate
SELECT residual_resume(:broken, 7);
SELECT residual_resume(:broken, 0);
\set VERBOSITY default
SELECT min(step) AS earlier FROM residual_checkpoints WHERE job = :broken \gset
SELECT residual_resume(:broken, :earlier);
SELECT residual_wait(:broken);
SELECT count(*) AS kept FROM residual.checkpoint WHERE job = :broken;
SELECT state, note, error, reason FROM residual_jobs WHERE job = :broken;
SELECT residual_resume(:broken) AS done_is_done;

WITH weights AS (
    SELECT m.name, w.tensor, w.part, w.bytes FROM residual.weight w JOIN residual.model m ON m.id = w.model)
SELECT count(*) > 20 AS tensors, bool_and(a.bytes = b.bytes) AS equal
  FROM (SELECT * FROM weights WHERE name = 'whole') a FULL JOIN (SELECT * FROM weights WHERE name = 'broken') b USING (tensor, part);
SELECT count(*) AS differences
  FROM (SELECT step, loss, validation_loss, validation_bleu FROM residual_training_log WHERE job = :whole
        EXCEPT SELECT step, loss, validation_loss, validation_bleu FROM residual_training_log WHERE job = :broken) d;

SELECT residual_drop_model('whole'), residual_drop_model('broken');
DROP FUNCTION start;
DROP TABLE pairs;
