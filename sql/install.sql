--
-- what the extension brings, and what it keeps to itself
--
CREATE EXTENSION residual;
\dx residual

-- functions are found without a search_path of their own; tables are apart
SELECT DISTINCT n.nspname, c.relkind
  FROM pg_depend d JOIN pg_class c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'residual')
   AND c.relkind IN ('r', 'v') ORDER BY 1, 2;
SELECT relname FROM pg_class WHERE relnamespace = 'residual'::regnamespace AND relkind = 'r' ORDER BY 1;

-- every table, view, function and aggregate that users meet is commented
SELECT c.relname FROM pg_depend d JOIN pg_class c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
 WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'residual')
   AND c.relkind IN ('r', 'v') AND obj_description(c.oid, 'pg_class') IS NULL;

-- nothing of the catalog is granted, and starting work is not either
SELECT relname, relacl FROM pg_class
 WHERE relnamespace = 'residual'::regnamespace AND has_table_privilege('pg_monitor', oid, 'SELECT') ORDER BY 1;
SELECT has_function_privilege('pg_monitor', 'residual_train(text, regclass, name, name, jsonb)', 'EXECUTE') AS train,
       has_function_privilege('pg_monitor', 'residual_wait(bigint, interval)', 'EXECUTE') AS wait,
       has_schema_privilege('pg_monitor', 'residual', 'USAGE') AS schema;

-- what pg_dump carries: jobs that have not ended stay behind
SELECT c.oid::regclass, e.condition
  FROM pg_extension x, unnest(x.extconfig, x.extcondition) e(id, condition) JOIN pg_class c ON c.oid = e.id
 WHERE x.extname = 'residual' ORDER BY c.relname;

-- it is not trusted, and has a schema of its own
\set VERBOSITY sqlstate
CREATE EXTENSION residual;
CREATE SCHEMA elsewhere;
ALTER EXTENSION residual SET SCHEMA elsewhere;
DROP SCHEMA elsewhere;
DROP EXTENSION residual;
CREATE SCHEMA residual;
CREATE EXTENSION residual;
DROP SCHEMA residual;
\set VERBOSITY default
CREATE EXTENSION residual;
