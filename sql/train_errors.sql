--
-- what residual_train refuses, and how it says so: SQLSTATE, message, detail, hint
--
\pset format unaligned
\pset expanded on
\pset tuples_only on
CREATE SCHEMA errors;
SET search_path = errors, public;
SET client_min_messages = error;
CREATE FUNCTION refused(call text, OUT state text, OUT message text, OUT detail text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE call;
    message := 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END $$;
CREATE FUNCTION options_refused(options text, OUT state text, OUT message text, OUT detail text, OUT hint text) LANGUAGE sql AS $$
    SELECT (refused(format('SELECT residual_train(''m'', ''pairs'', ''english'', ''german'', %L)', options))).*
$$;
CREATE TABLE pairs (id int, english text, german varchar(100), dropped text, blob bytea, tags text[]);
ALTER TABLE pairs DROP COLUMN dropped;
INSERT INTO pairs SELECT i, 'word ' || i, 'wort ' || i FROM generate_series(1, 50) i;

-- arguments
SELECT * FROM refused($$SELECT residual_train(NULL, 'pairs', 'english', 'german')$$);
SELECT * FROM refused($$SELECT residual_train('m', NULL, 'english', 'german')$$);
SELECT * FROM refused($$SELECT residual_train('m', 'pairs', NULL, 'german')$$);
SELECT * FROM refused($$SELECT residual_train('m', 'pairs', 'english', NULL)$$);
SELECT * FROM refused($$SELECT residual_train('m', 'pairs', 'english', 'german', NULL)$$);
SELECT * FROM refused($$SELECT residual_train('', 'pairs', 'english', 'german')$$);
SELECT * FROM refused($$SELECT residual_train(repeat('m', 64), 'pairs', 'english', 'german')$$);

-- the table and its columns
SELECT * FROM refused($$SELECT residual_train('m', 'nowhere', 'english', 'german')$$);
SELECT * FROM refused($$SELECT residual_train('m', 4294967295, 'english', 'german')$$);
SELECT * FROM refused($$SELECT residual_train('m', 'pairs', 'englsh', 'german')$$);
SELECT * FROM refused($$SELECT residual_train('m', 'pairs', 'english', 'zulu')$$);
SELECT * FROM refused($$SELECT residual_train('m', 'pairs', 'english', 'dropped')$$);
SELECT * FROM refused($$SELECT residual_train('m', 'pairs', 'english', 'ctid')$$);
SELECT * FROM refused($$SELECT residual_train('m', 'pairs', 'id', 'german')$$);
SELECT * FROM refused($$SELECT residual_train('m', 'pairs', 'english', 'blob')$$);
SELECT * FROM refused($$SELECT residual_train('m', 'pairs', 'english', 'tags')$$);
CREATE SEQUENCE numbers;
SELECT * FROM refused($$SELECT residual_train('m', 'numbers', 'english', 'german')$$);
CREATE INDEX pairs_id ON pairs (id);
SELECT * FROM refused($$SELECT residual_train('m', 'pairs_id', 'english', 'german')$$);
CREATE TEMP TABLE fleeting AS SELECT * FROM pairs;
SELECT * FROM refused($$SELECT residual_train('m', 'fleeting', 'english', 'german')$$);
CREATE MATERIALIZED VIEW unfilled AS SELECT * FROM pairs WITH NO DATA;
SELECT * FROM refused($$SELECT residual_train('m', 'unfilled', 'english', 'german')$$);

-- options: keys and values
SELECT * FROM options_refused('[]');
SELECT * FROM options_refused('1');
SELECT * FROM options_refused('{"d_modle": 64}');
SELECT * FROM options_refused('{"no such thing": 64}');
-- residual schemes: which there are, what belongs to which, how deep
SELECT * FROM options_refused('{"scheme": "residul"}');
SELECT * FROM options_refused('{"decoder_scheme": "post_norm"}');
SELECT * FROM options_refused('{"scheme": "no such scheme"}');
SELECT * FROM options_refused('{"scheme": "residual", "branch_scale": 0.5}');
SELECT * FROM options_refused('{"scheme": "pre", "dual_scale": 0.5}');
SELECT * FROM options_refused('{"scheme": "residual", "norm": "pre"}');
SELECT * FROM options_refused('{"layers": 0}');
SELECT * FROM options_refused('{"encoder_layers": 0}');
SELECT * FROM options_refused('{"decoder_layers": 1001}');
SELECT * FROM options_refused('{"d_model": null}');
SELECT * FROM options_refused('{"d_model": [64]}');
SELECT * FROM options_refused('{"d_model": {"d": 64}}');
SELECT * FROM options_refused('{"d_model": "wide"}');
SELECT * FROM options_refused('{"d_model": 2.5}');
SELECT * FROM options_refused('{"d_model": 0}');
SELECT * FROM options_refused('{"d_model": 1e30}');
SELECT * FROM options_refused('{"d_model": true}');
SELECT * FROM options_refused('{"dropout": -0.1}');
SELECT * FROM options_refused('{"dropout": "NaN"}');
SELECT * FROM options_refused('{"lowercase": "perhaps"}');
SELECT * FROM options_refused('{"tokenizer": "bpee"}');
SELECT * FROM options_refused('{"scheme": "residaul"}');
SELECT * FROM options_refused('{"encoder_scheme": ""}');
SELECT * FROM options_refused('{"precision": "float64"}');

-- options: what does not go together
SELECT * FROM options_refused('{"d_model": 100, "heads": 8}');
SELECT * FROM options_refused('{"batch_tokens": 10}');
SELECT * FROM options_refused('{"max_epochs": 0}');
SELECT * FROM options_refused('{"schedule": "cosine"}');
SELECT * FROM options_refused('{"learning_rate": 0}');
SELECT * FROM options_refused('{"metric": "bleu", "validation": 0}');
SELECT * FROM options_refused('{"average_checkpoints": 101}');
SELECT * FROM options_refused('{"device": "gpu"}');
SELECT * FROM options_refused('{"device": "cuda:1,1"}');
SELECT * FROM options_refused('{"scheme": "post", "dual_scale": 2}');

-- validation
SELECT * FROM options_refused('{"validation": 0.9}');
SELECT * FROM options_refused('{"validation": "nowhere"}');
SELECT * FROM options_refused('{"validation": "no.such.place.at.all"}');
CREATE TABLE dev (english text);
SELECT * FROM options_refused('{"validation": "dev"}');

-- going on from a version
SELECT * FROM options_refused('{"from": "active"}');
SELECT * FROM options_refused('{"from": "yesterday"}');
SELECT residual_train('taken', 'pairs', 'english', 'german',
    '{"layers": 1, "d_model": 8, "d_ffn": 8, "heads": 1, "max_length": 16, "threads": 1, "max_steps": 1, "validation": 0}') AS job \gset
SELECT residual_wait(:job);
SELECT * FROM refused($$SELECT residual_train('taken', 'pairs', 'english', 'german', '{"from": 7}')$$);
SELECT * FROM refused($$SELECT residual_train('taken', 'pairs', 'english', 'german', '{"from": "active", "d_model": 16}')$$);

-- who may
CREATE ROLE regress_residual_none LOGIN;
CREATE ROLE regress_residual_group;
GRANT USAGE ON SCHEMA errors TO regress_residual_none, regress_residual_group;
SET ROLE regress_residual_none;
SELECT * FROM refused($$SELECT residual_train('m', 'pairs', 'english', 'german')$$);
RESET ROLE;
GRANT EXECUTE ON FUNCTION residual_train(text, regclass, name, name, jsonb) TO regress_residual_none, regress_residual_group;
SET ROLE regress_residual_none;
SELECT * FROM refused($$SELECT residual_train('m', 'pairs', 'english', 'german')$$);
RESET ROLE;
GRANT SELECT (english) ON pairs TO regress_residual_none;
SET ROLE regress_residual_none;
SELECT * FROM refused($$SELECT residual_train('m', 'pairs', 'english', 'german')$$);
RESET ROLE;
GRANT SELECT ON pairs TO regress_residual_none, regress_residual_group;
SET ROLE regress_residual_none;
SELECT * FROM refused($$SELECT residual_train('taken', 'pairs', 'english', 'german')$$);
RESET ROLE;
SET ROLE regress_residual_group;
SELECT * FROM refused($$SELECT residual_train('m', 'pairs', 'english', 'german')$$);
RESET ROLE;

-- where nothing may be written
BEGIN READ ONLY;
SELECT * FROM refused($$SELECT residual_train('m', 'pairs', 'english', 'german')$$);
SELECT * FROM refused($$SELECT residual_cancel(1)$$);
SELECT * FROM refused($$SELECT residual_resume(1)$$);
ROLLBACK;

-- what only the worker can see becomes the end of the job
CREATE TABLE no_rows (en text, de text);
CREATE TABLE no_pairs AS SELECT '' AS en, 'x' AS de;
CREATE VIEW broken AS SELECT (1 / (id - id))::text AS en, german AS de FROM pairs;
SELECT residual_train('failing', 'no_rows', 'en', 'de') AS job \gset
SELECT residual_wait(:job);
SELECT sqlstate, error, error_detail, error_hint FROM residual_jobs WHERE job = :job;
SELECT residual_train('failing', 'no_pairs', 'en', 'de') AS job \gset
SELECT residual_wait(:job);
SELECT sqlstate, error, error_detail, error_hint, rows_empty FROM residual_jobs WHERE job = :job;
SELECT residual_train('failing', 'broken', 'en', 'de') AS job \gset
SELECT residual_wait(:job);
SELECT sqlstate, error, error_detail, error_hint FROM residual_jobs WHERE job = :job;
SELECT residual_train('failing', 'pairs', 'english', 'german', '{"vocab_size": 5000}') AS job \gset
SELECT residual_wait(:job);
SELECT sqlstate, error, error_hint FROM residual_jobs WHERE job = :job;
SELECT residual_train('failing', 'pairs', 'english', 'german', '{"learning_rate": 10, "warmup_steps": 0, "warmup_init": 10, "clip_norm": 0,
    "schedule": "constant", "scheme": "rezero", "layers": 12, "d_model": 8, "d_ffn": 8, "heads": 1, "max_steps": 3000, "threads": 1}') AS job \gset
SELECT residual_wait(:job);
SELECT sqlstate, error FROM residual_jobs WHERE job = :job;
SELECT count(*) FROM residual_models WHERE model IN ('m', 'failing');

SELECT residual_drop_model('taken');
SET client_min_messages = error;
DROP SCHEMA errors CASCADE;
DROP OWNED BY regress_residual_none, regress_residual_group;
DROP ROLE regress_residual_none, regress_residual_group;
