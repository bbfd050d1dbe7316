--
-- settings: ranges, units, and who may set them
--
LOAD 'residual';
SELECT name, setting, unit, context, vartype, min_val, max_val
  FROM pg_settings WHERE name LIKE 'residual.%' AND name <> 'residual.engine' ORDER BY name COLLATE "C";
SELECT context, vartype, boot_val LIKE '%/residual_engine' AS beside_library FROM pg_settings WHERE name = 'residual.engine';
SELECT name FROM pg_settings WHERE name LIKE 'residual.%' AND (short_desc = '' OR short_desc NOT LIKE '%.');

-- what a session may choose
SET residual.threads = 1;
SET residual.threads = -1;
SET residual.threads = 1025;
SET residual.device = 'cpu';
SET residual.device = 'cuda:0,1';
SET residual.device = 'gpu';
SET residual.device = 'cuda:';
SET residual.device = 'cuda:0,1,0';
SET residual.device = 'cuda:0,1,2,3,4,5,6,7,8';
SET residual.default_model = 'en_de';
RESET residual.device;
RESET residual.default_model;

-- what it may not
SET residual.engine = '/bin/true';
SET residual.max_jobs = 100;
SET residual.training_memory = '1GB';
SET residual.stop_grace = '10s';
SET residual.training_nice = 0;
SET residual.serve_memory = '1GB';

-- a name that is no setting
SET residual.thread = 1;

-- settings become options of a job, and options win
CREATE TABLE pairs AS SELECT 'w' || i AS en, 'v' || i AS de FROM generate_series(1, 20) i;
SET residual.threads = 1;
BEGIN;
SELECT residual_train('by_settings', 'pairs', 'en', 'de', '{"max_steps": 1}') IS NOT NULL AS job;
SELECT residual_train('by_options', 'pairs', 'en', 'de', '{"max_steps": 1, "threads": 2, "device": "cpu"}') IS NOT NULL AS job;
SELECT model, options->'threads' AS threads, options->'device' AS device FROM residual_jobs WHERE model LIKE 'by\_%' ORDER BY job;
SELECT count(*) > 50 AS keys, bool_and(jsonb_typeof(value) IN ('string', 'number', 'boolean')) AS scalars
  FROM residual_jobs, jsonb_each(options) WHERE model = 'by_options';
ROLLBACK;
SELECT count(*) FROM residual_jobs WHERE model LIKE 'by\_%';
DROP TABLE pairs;
