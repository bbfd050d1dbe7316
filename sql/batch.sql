--
-- batching a column: the plan node, and the window function that needs none
--
CREATE TABLE pairs (en text, de text);
INSERT INTO pairs VALUES
    ('the dog sees the cat', 'der hund sieht die katze'),
    ('the cat sees the dog', 'die katze sieht den hund'),
    ('the bird sings', 'der vogel singt'),
    ('the house is old', 'das haus ist alt'),
    ('the car is new', 'das auto ist neu'),
    ('we drink water', 'wir trinken wasser'),
    ('they eat bread', 'sie essen brot'),
    ('a green tree', 'ein grüner baum'),
    ('good morning', 'guten morgen'),
    ('good night', 'gute nacht');
\set options '{"layers": 1, "d_model": 32, "d_ffn": 64, "heads": 2, "max_length": 32, "threads": 1, "dropout": 0, "label_smoothing": 0, "batch_tokens": 256, "learning_rate": 0.01, "warmup_steps": 20, "max_steps": 200, "validation": "0"}'
SELECT residual_train('en_de', 'pairs', 'en', 'de', :'options') AS job \gset
SELECT residual_wait(:job);
SELECT residual_train('de_en', 'pairs', 'de', 'en', :'options') AS job \gset
SELECT residual_wait(:job);

-- rows in an order of their own, every tenth without a text; and what the scalar calls make of it
CREATE TABLE products AS
SELECT n AS id, n % 3 AS shelf, CASE WHEN n % 10 > 0 THEN p.en END AS title, CASE WHEN n % 10 > 0 THEN p.de END AS titel
  FROM generate_series(1, 200) n, (SELECT row_number() OVER (ORDER BY en COLLATE "C") % 10 AS r, en, de FROM pairs) p
 WHERE p.r = n * 7 % 10;
CREATE INDEX ON products (id);
CREATE INDEX ON products (shelf, id);
VACUUM ANALYZE products;
SET enable_bitmapscan = off;

-- the first statement of a session is batched, though nothing has loaded the library
\c
EXPLAIN (COSTS OFF) SELECT id, residual_translate(title, 'en_de') FROM products;
SELECT residual_translate(title, 'en_de') COLLATE "C" AS translation, count(*) FROM products GROUP BY 1 ORDER BY 1;
SET enable_bitmapscan = off;

-- what EXPLAIN ANALYZE says, where it does not depend on the machine
CREATE FUNCTION counts(query text, OUT node text, OUT rows bigint, OUT sentences bigint, OUT few_batches boolean, OUT tokens bigint,
                       OUT speed boolean)
RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) ' || query INTO plan;
    RETURN QUERY
        SELECT n->>'Custom Plan Provider', (n->>'Actual Rows')::bigint, (n->>'Sentences')::bigint,
               (n->>'Batches')::bigint < (n->>'Actual Rows')::bigint / 4, (n->>'Tokens')::bigint, (n->>'Tokens per Second')::float > 0
          FROM jsonb_path_query(plan, '$.**') n
         WHERE jsonb_typeof(n) = 'object' AND n ? 'Sentences';
END $$;
SELECT * FROM counts($$SELECT id, residual_translate(title || repeat(' ', id), 'en_de') FROM products$$);
SET residual.enable_batching = off;
SELECT * FROM counts($$SELECT id, residual_translate(title || repeat(' ', id), 'en_de') FROM products WHERE id < 20$$);
RESET residual.enable_batching;
-- the same text is translated once a batch
SELECT sentences < 100 AS few, tokens < 1000 AS few_tokens FROM counts($$SELECT id, residual_translate(title, 'en_de') FROM products$$);

-- a plan, and whether its rows are those of the scalar calls
CREATE PROCEDURE same(query text) LANGUAGE plpgsql AS $$
DECLARE line text; n bigint; differ bigint;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        RAISE INFO '%', line;
    END LOOP;
    SET LOCAL residual.enable_batching = off;
    EXECUTE 'CREATE TEMP TABLE scalar ON COMMIT DROP AS ' || query;
    SET LOCAL residual.enable_batching = on;
    EXECUTE 'CREATE TEMP TABLE batched ON COMMIT DROP AS ' || query;
    SELECT count(*) INTO n FROM batched;
    SELECT count(*) INTO differ FROM ((TABLE scalar EXCEPT ALL TABLE batched) UNION ALL (TABLE batched EXCEPT ALL TABLE scalar)) d;
    DROP TABLE scalar, batched;
    RAISE INFO '-- % rows, % differ', n, differ;
END $$;
\set SHOW_CONTEXT never
CALL same($$SELECT id, residual_translate(title, 'en_de') AS t FROM products$$);
CALL same($$SELECT upper(residual_translate(title, 'en_de')) || id AS t, id * 2 AS twice, length(title) FROM products$$);
-- several calls, other models and options, calls of calls
CALL same($$SELECT residual_translate(title, 'en_de') AS a, residual_translate(titel, 'de_en', '{"beam": 2}') AS b,
                   residual_translate(title, 'en_de') AS again FROM products$$);
CALL same($$SELECT residual_translate(residual_translate(title, 'en_de'), 'de_en') AS back FROM products WHERE id < 100$$);
-- what is drawn, given a prefix or kept is that of the row, whatever else is in the batch
CALL same($$SELECT id, residual_translate(title || ' ' || id, 'en_de', '{"sampling": true, "temperature": 3, "seed": 7}') AS drawn,
                   residual_translate(title, 'en_de', '{"prefix": "der "}') AS prefix,
                   residual_translate(title || ' {' || id || '}', 'en_de', '{"preserve": true}') AS kept FROM products WHERE id < 60$$);
-- the model and the options as columns
CALL same($$SELECT id, residual_translate(CASE shelf WHEN 0 THEN title ELSE titel END, CASE shelf WHEN 0 THEN 'en_de' WHEN 1 THEN 'de_en' END,
                   jsonb_build_object('beam', id % 4 + 1)) AS t FROM products WHERE id < 100$$);
-- not for every row: more of it in batch_guard
CALL same($$SELECT residual_translate(title, 'en_de') AS a, CASE WHEN id > 3 THEN residual_translate(titel, 'de_en') END AS b
              FROM products WHERE id < 10$$);
CALL same($$SELECT coalesce(residual_translate(title, 'en_de'), residual_translate(titel, 'de_en'), 'nothing') AS a
              FROM products WHERE id < 30$$);
-- conditions: for the rows that the cheaper ones have left
CALL same($$SELECT id FROM products WHERE residual_translate(title, 'en_de') = titel AND id < 100$$);
CALL same($$SELECT id, residual_translate(titel, 'de_en') AS t FROM products WHERE residual_translate(title, 'en_de') LIKE 'd%' AND id < 100$$);
CALL same($$SELECT id FROM products WHERE residual_translate(title, 'en_de') LIKE 'd%' AND residual_translate(titel, 'de_en') LIKE '%e' AND id < 100$$);
CALL same($$SELECT id FROM products WHERE (id < 5 OR residual_translate(title, 'en_de') LIKE 'g%') AND id < 20$$);
CALL same($$SELECT id FROM products WHERE residual_translate(title, 'en_de') = ANY (SELECT titel FROM products WHERE id < 4) AND id < 50$$);
CALL same($$SELECT p.id, q.id AS other FROM products p JOIN products q ON q.id = p.id + 1 AND residual_translate(p.title, 'en_de') = p.titel
             WHERE p.id < 30$$);
-- aggregates
CALL same($$SELECT max(residual_translate(title, 'en_de')) AS m, count(*) FROM products$$);
CALL same($$SELECT shelf, string_agg(residual_translate(title, 'en_de'), ',' ORDER BY id) AS s, count(DISTINCT residual_translate(title, 'en_de')) AS n,
                   residual_bleu(residual_translate(title, 'en_de'), titel)::text AS bleu FROM products GROUP BY shelf
            HAVING count(residual_translate(title, 'en_de')) > 10$$);
CALL same($$SELECT max(residual_translate(title, 'en_de')) FILTER (WHERE id < 5) AS m FROM products$$);
CALL same($$SELECT shelf, id % 2 AS odd, max(residual_translate(title, 'en_de')) AS m FROM products WHERE id < 50 GROUP BY GROUPING SETS ((shelf), (2))$$);
CALL same($$SELECT residual_translate(max(residual_translate(title, 'en_de')), 'de_en') AS back FROM products$$);
-- subplans, whole rows, sets, system columns and domains beside it
CALL same($$SELECT p.id, residual_translate(title, 'en_de') AS t, (SELECT count(*) FROM products q WHERE q.id < p.id AND q.title = p.title) AS n,
                   p AS whole, p.tableoid::regclass::text AS tab, ROW(id, residual_translate(title, 'en_de')) < ROW(5, 'x') AS less,
                   ARRAY[residual_translate(title, 'en_de'), titel]::varchar(8)[] AS cut FROM products p WHERE id < 40$$);
-- sets: once for the row that they are made of
CALL same($$SELECT id, generate_series(1, id % 3) AS n, residual_translate(title, 'en_de') AS t FROM products WHERE id < 20$$);
CALL same($$SELECT id, regexp_split_to_table(residual_translate(title, 'en_de'), ' ') AS word, length(residual_translate(titel, 'de_en')) AS n,
                   unnest(ARRAY[residual_translate(residual_translate(title, 'en_de'), 'de_en'), 'x']) AS back FROM products WHERE id < 20$$);
SELECT sentences FROM counts($$SELECT generate_series(1, 20), residual_translate(title || id, 'en_de') FROM products WHERE id < 10$$);
CALL same($$SELECT DISTINCT ON (shelf) shelf, id, residual_translate(title, 'en_de') AS t FROM products ORDER BY shelf, id DESC$$);
CALL same($$SELECT id, lag(residual_translate(title, 'en_de')) OVER (ORDER BY id) AS before FROM products WHERE id < 20$$);
CALL same($$SELECT id, (SELECT max(residual_translate(x, 'en_de')) FROM unnest(ARRAY[title, 'good night']) x) AS m FROM products WHERE id < 10$$);
CALL same($$WITH RECURSIVE r(n, t) AS (SELECT 1, 'good night' UNION ALL SELECT n + 1, residual_translate(CASE WHEN n < 0 THEN t ELSE 'good morning' END, 'en_de')
              FROM r WHERE n < 5) SELECT * FROM r$$);
CALL same($$SELECT id, residual_translate(title, 'en_de') AS t FROM products WHERE id IN (SELECT id FROM products WHERE id < 30 OFFSET 0) AND title IS NOT NULL$$);
CALL same($$SELECT t.* FROM products p, LATERAL (VALUES (p.id, residual_translate(p.title, 'en_de')), (-p.id, residual_translate(p.titel, 'de_en'))) t WHERE p.id < 10$$);
-- lists of VALUES that call alike
CALL same($$SELECT * FROM (VALUES (1, residual_translate('good night', 'en_de'), 'a'), (2, residual_translate('the bird sings', 'en_de'), 'b'), (3, residual_translate('', 'en_de'), 'c')) v$$);
CALL same($$SELECT v.*, v.t || n FROM (VALUES (1, upper(residual_translate('good night', 'en_de'))), (2, upper(residual_translate('gute nacht', 'de_en')))) v(n, t)$$);
CALL same($$VALUES (residual_translate(residual_translate('good night', 'en_de'), 'de_en')), (residual_translate(residual_translate('a green tree', 'en_de'), 'de_en'))$$);
CALL same($$VALUES (residual_translate('good night', 'en_de')), ('x')$$);
CALL same($$SELECT v::text FROM (VALUES (1, residual_translate('good night', 'en_de')), (2, residual_translate('good morning', 'en_de'))) v(n, t)$$);
-- below and above other nodes
CALL same($$SELECT id, residual_translate(title, 'en_de') AS t FROM products ORDER BY id DESC LIMIT 3$$);
CALL same($$SELECT id, residual_translate(title, 'en_de') AS t FROM products ORDER BY 2, 1 LIMIT 7$$);
CALL same($$SELECT shelf, residual_translate(max(title), 'en_de') AS t, count(*) FROM products GROUP BY shelf$$);
CALL same($$SELECT residual_translate(title, 'en_de') AS t, count(*) FROM products GROUP BY 1$$);
CALL same($$SELECT DISTINCT residual_translate(title, 'en_de') AS t FROM products$$);
CALL same($$SELECT id, row_number() OVER (ORDER BY id) AS r, residual_translate(title, 'en_de') AS t FROM products$$);
CALL same($$SELECT p.id, residual_translate(p.title, 'en_de') AS t, q.titel FROM products p JOIN products q ON q.id = p.id + 1$$);
CALL same($$SELECT p.id, s.t FROM products p LEFT JOIN (SELECT id, residual_translate(title, 'en_de') AS t FROM products OFFSET 0) s
              ON s.id = p.id + 150$$);
CALL same($$SELECT residual_translate(title, 'en_de') AS t FROM products WHERE id < 30 UNION ALL
            SELECT residual_translate(titel, 'de_en') FROM products WHERE id > 170$$);
CALL same($$WITH c AS MATERIALIZED (SELECT id, residual_translate(title, 'en_de') AS t FROM products WHERE id < 50)
            SELECT a.id, a.t, b.t AS next FROM c a JOIN c b ON b.id = a.id + 1$$);
CALL same($$SELECT x, residual_translate(x, 'en_de') AS t FROM unnest(ARRAY['good night', NULL, '', 'good morning']) x$$);
CALL same($$SELECT id, t FROM products, LATERAL (SELECT residual_translate(products.title, 'en_de') AS t OFFSET 0) l WHERE id < 5$$);
-- evaluated anew for each outer row
CALL same($$SELECT shelf, (SELECT string_agg(t, ',') FROM (SELECT residual_translate(title, 'en_de') AS t FROM products q
              WHERE q.shelf = p.shelf AND q.id < 30 ORDER BY id OFFSET 0) l) AS t FROM (SELECT DISTINCT shelf FROM products) p$$);
CALL same($$SELECT p.id, (SELECT residual_translate(q.title, 'en_de') FROM products q WHERE q.id = p.id) AS t FROM products p WHERE id < 30$$);
CALL same($$SELECT p.id, EXISTS (SELECT FROM (SELECT residual_translate(title, 'en_de') AS t FROM products OFFSET 0) l WHERE l.t = p.titel) AS e
              FROM products p WHERE id < 4$$);
-- rows that are gone back to
SET enable_hashjoin = off;
SET enable_nestloop = off;
SET enable_sort = off;
CALL same($$SELECT a.shelf, b.id, b.t FROM products a
              LEFT JOIN LATERAL (SELECT shelf, id, coalesce(residual_translate(title, 'en_de'), '') AS t FROM products WHERE shelf < 5) b
              ON a.shelf = b.shelf WHERE a.id < 7 AND b.id < 30$$);
RESET enable_hashjoin;
RESET enable_nestloop;
RESET enable_sort;
-- partitions, and parallel workers
CREATE TABLE parted (id int, title text) PARTITION BY HASH (id);
CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parted SELECT id, title FROM products;
CALL same($$SELECT id, residual_translate(title, 'en_de') AS t FROM parted$$);
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT id, residual_translate(title, 'en_de') FROM products;
SELECT count(*), count(t), count(*) FILTER (WHERE t IS DISTINCT FROM titel) AS differ
  FROM (SELECT titel, residual_translate(title, 'en_de') AS t FROM products OFFSET 0) s;
EXPLAIN (COSTS OFF) SELECT max(residual_translate(title, 'en_de')) FROM products WHERE residual_translate(title, 'en_de') = titel;
SELECT max(residual_translate(title, 'en_de')), count(*) FROM products WHERE residual_translate(title, 'en_de') = titel;
SELECT node, rows, sentences, tokens FROM counts($$SELECT id, residual_translate(title || repeat(' ', id), 'en_de') FROM products$$);
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET max_parallel_workers_per_gather;

-- what writes
CREATE TABLE translated (id int, t text);
EXPLAIN (COSTS OFF) INSERT INTO translated SELECT id, residual_translate(title, 'en_de') FROM products;
INSERT INTO translated SELECT id, residual_translate(title, 'en_de') FROM products;
SELECT count(*) FROM translated JOIN products USING (id) WHERE t IS DISTINCT FROM titel;
ALTER TABLE products ADD COLUMN t text;
EXPLAIN (COSTS OFF) UPDATE products SET t = residual_translate(title, 'en_de');
UPDATE products SET t = residual_translate(title, 'en_de');
SELECT count(*) FROM products WHERE t IS DISTINCT FROM titel;
CREATE TABLE copy (id int, shelf int, title text, t text, long int GENERATED ALWAYS AS (length(t)) STORED);
INSERT INTO copy SELECT id, shelf, title FROM products WHERE id < 30;
UPDATE copy p SET (t, shelf) = (SELECT residual_translate(q.title, 'en_de'), length(residual_translate(p.title, 'en_de')) FROM products q WHERE q.id = p.id);
SELECT count(*), count(*) FILTER (WHERE copy.t IS DISTINCT FROM titel OR copy.shelf IS DISTINCT FROM long) AS wrong FROM copy JOIN products USING (id);
ALTER TABLE copy DROP COLUMN shelf;
WITH u AS (UPDATE copy SET t = residual_translate(title, 'en_de', '{"beam": 1}') WHERE id < 10 RETURNING id, residual_translate(title, 'en_de') AS r, t)
SELECT count(*) FROM u WHERE r IS DISTINCT FROM t;
DELETE FROM copy WHERE residual_translate(title, 'en_de') LIKE 'gut%';
SELECT count(*) FROM copy WHERE title LIKE 'good%';
DROP TABLE copy;
EXPLAIN (COSTS OFF) UPDATE products SET t = 'good' WHERE residual_translate(title, 'en_de') LIKE 'gut%';
UPDATE products SET t = 'good' WHERE residual_translate(title, 'en_de') LIKE 'gut%';
SELECT count(*), count(*) FILTER (WHERE titel LIKE 'gut%') AS good FROM products WHERE t = 'good';
EXPLAIN (COSTS OFF) MERGE INTO translated USING (SELECT id, residual_translate(titel, 'de_en') AS t FROM products WHERE id < 50) s
    ON s.id = translated.id WHEN MATCHED THEN UPDATE SET t = s.t;
MERGE INTO translated USING (SELECT id, residual_translate(titel, 'de_en') AS t FROM products WHERE id < 50) s
    ON s.id = translated.id WHEN MATCHED THEN UPDATE SET t = s.t;
SELECT count(*) FROM translated JOIN products USING (id) WHERE id < 50 AND translated.t IS DISTINCT FROM title;
COPY (SELECT id, residual_translate(title, 'en_de') FROM products WHERE id < 4 ORDER BY id) TO STDOUT;

-- RETURNING
CREATE TABLE written (id int, title text, titel text) PARTITION BY RANGE (id);
CREATE TABLE written_1 (titel text, gone int, title text, id int);
ALTER TABLE written_1 DROP COLUMN gone;
ALTER TABLE written ATTACH PARTITION written_1 FOR VALUES FROM (0) TO (4);
CREATE TABLE written_2 PARTITION OF written FOR VALUES FROM (4) TO (1000);
EXPLAIN (COSTS OFF) INSERT INTO written SELECT id, title, titel FROM products RETURNING id, residual_translate(title, 'en_de');
INSERT INTO written SELECT id, title, titel FROM products WHERE id < 7 RETURNING id, residual_translate(title, 'en_de') AS t, written AS whole, tableoid::regclass;
INSERT INTO written VALUES (7, 'good night'), (8, 'the bird sings') RETURNING residual_translate(title, 'en_de') AS t;
EXPLAIN (COSTS OFF) UPDATE written w SET title = p.title FROM products p WHERE p.id = w.id + 10
    RETURNING w.id, coalesce(p.t, residual_translate(w.title, 'en_de')) AS t, p.titel;
UPDATE written w SET title = p.title FROM products p WHERE p.id = w.id + 10 AND w.id < 4
    RETURNING w.id, coalesce(NULLIF(p.t, p.titel), residual_translate(w.title, 'en_de')) AS t, p.titel;
DELETE FROM written WHERE id > 6 RETURNING id, residual_translate(residual_translate(title, 'en_de'), 'de_en') AS back, title;
INSERT INTO written SELECT id, title FROM products WHERE id < 9 RETURNING residual_translate(title, CASE WHEN id < 8 THEN 'en_de' ELSE 'en_fr' END);
SELECT count(*) FROM written;
COPY (DELETE FROM written RETURNING id, residual_translate(title, 'en_de')) TO STDOUT;
EXPLAIN (COSTS OFF) INSERT INTO written VALUES (1, 'a', residual_translate('good night', 'en_de')), (2, 'b', residual_translate('the bird sings', 'en_de'));
INSERT INTO written VALUES (1, 'a', residual_translate('good night', 'en_de')), (2, 'b', residual_translate('the bird sings', 'en_de'))
    RETURNING id, residual_translate(titel, 'de_en');
SELECT n FROM (VALUES (1, residual_translate('good night', 'en_fr')), (2, residual_translate('good morning', 'en_fr'))) v(n, t);
DELETE FROM written;
-- with volatile company, or read in part, each row is translated before the next is written
EXPLAIN (COSTS OFF) DELETE FROM written RETURNING residual_translate(title, 'en_de'), random();
EXPLAIN (COSTS OFF) WITH i AS (INSERT INTO written SELECT id, title FROM products RETURNING residual_translate(title, 'en_de') AS t) SELECT t FROM i LIMIT 1;
CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE INFO 'row %', NEW.id; RETURN NEW; END $$;
CREATE TRIGGER say BEFORE INSERT ON written_2 FOR EACH ROW EXECUTE FUNCTION say();
DO $$ DECLARE t text;
BEGIN INSERT INTO written SELECT id, title FROM products WHERE id > 10 ORDER BY id RETURNING residual_translate(title, 'en_de') INTO t; END $$;
DO $$ DECLARE r record;
BEGIN FOR r IN INSERT INTO written SELECT id, title FROM products WHERE id BETWEEN 11 AND 14 RETURNING id, residual_translate(title, 'en_de') AS t LOOP
    RAISE INFO '%', r; EXIT WHEN r.id = 12; END LOOP; END $$;
DROP TABLE written;
DROP FUNCTION say();
EXPLAIN (COSTS OFF) SELECT id, residual_translate(title, 'en_de') FROM products WHERE id < 3 FOR UPDATE;
SELECT id, residual_translate(title, 'en_de') FROM products WHERE id < 3 ORDER BY id FOR UPDATE;
CREATE MATERIALIZED VIEW view AS SELECT id, residual_translate(title, 'en_de') AS t FROM products;
REFRESH MATERIALIZED VIEW view;
SELECT count(*) FROM view JOIN products USING (id) WHERE view.t IS DISTINCT FROM titel;
DROP MATERIALIZED VIEW view;

-- prepared statements: models and texts as parameters; the setting acts on a cached plan
SET plan_cache_mode = force_generic_plan;
PREPARE p AS SELECT id, residual_translate(title, $1) AS t, residual_translate($2, 'en_de') AS u FROM products WHERE id <= $3 ORDER BY id;
EXPLAIN (COSTS OFF) EXECUTE p('en_de', 'good night', 3);
EXECUTE p('en_de', 'good night', 3);
EXECUTE p(NULL, 'good night', 2);
EXECUTE p('en_fr', 'good night', 3);
SET residual.enable_batching = off;
EXPLAIN (COSTS OFF) EXECUTE p('en_de', 'good night', 3);
RESET residual.enable_batching;
SET residual.default_model = 'en_de';
PREPARE d AS SELECT residual_translate(title) FROM products WHERE id = 1;
EXECUTE d;
SET residual.default_model = 'de_en';
EXECUTE d;
RESET residual.default_model;
EXECUTE d;
DEALLOCATE ALL;
RESET plan_cache_mode;

-- PL/pgSQL
DO $$
DECLARE r record; n int := 0; t text;
BEGIN
    FOR r IN SELECT titel, residual_translate(title, 'en_de') AS t FROM products ORDER BY id LOOP
        ASSERT r.t IS NOT DISTINCT FROM r.titel;
        n := n + 1;
        -- calls in between
        IF n % 50 = 0 THEN
            t := residual_translate('good night', 'en_de');
            RAISE INFO '% %', n, t;
            -- with errors of their own
            BEGIN
                t := residual_translate('good night', 'en_fr');
            EXCEPTION WHEN undefined_object THEN NULL;
            END;
        END IF;
        EXIT WHEN n = 150;
    END LOOP;
END $$;
CREATE FUNCTION translations() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN RETURN QUERY SELECT residual_translate(title, 'en_de') FROM products; END $$;
SELECT count(*), count(DISTINCT t) FROM translations() t;
CREATE FUNCTION one(text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT residual_translate($1, 'en_de') $$;
EXPLAIN (COSTS OFF) SELECT one(title) FROM products;

-- cursors
BEGIN;
DECLARE c NO SCROLL CURSOR FOR SELECT id, residual_translate(title, 'en_de') FROM products ORDER BY id;
FETCH 2 FROM c;
SELECT residual_translate(title, 'en_de') FROM products WHERE id = 1;
MOVE 100 FROM c;
SAVEPOINT s;
SELECT residual_translate('good night', 'en_fr');
ROLLBACK TO s;
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
ROLLBACK;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id, residual_translate(title, 'en_de') FROM products WHERE id < 100 ORDER BY id;
FETCH 3 FROM c;
FETCH BACKWARD 1 FROM c;
FETCH LAST FROM c;
FETCH ABSOLUTE 50 FROM c;
DECLARE e CURSOR WITH HOLD FOR SELECT id, residual_translate(title, 'en_de') FROM products WHERE id < 30 ORDER BY id;
COMMIT;
FETCH 2 FROM e;
CLOSE e;

-- the row that a cursor stands on is known where it is locked
BEGIN;
DECLARE c CURSOR FOR SELECT id, residual_translate(title, 'en_de') AS t FROM products WHERE id < 30 ORDER BY id FOR UPDATE;
FETCH 3 FROM c;
UPDATE products SET t = 'here' WHERE CURRENT OF c;
SELECT id FROM products WHERE t = 'here';
ROLLBACK;
BEGIN;
DECLARE c NO SCROLL CURSOR FOR SELECT id, residual_translate(title, 'en_de') AS t FROM products WHERE id < 30;
MOVE 1 FROM c;
UPDATE products SET t = 'here' WHERE CURRENT OF c;
ROLLBACK;

-- an error is that of its row, not of those before it
CREATE TABLE mixed AS
SELECT n AS id, 'good night' AS title, CASE WHEN n < 40 THEN 'en_de' ELSE 'en_fr' END AS model,
       CASE WHEN n < 20 THEN '{}' ELSE '{"beam": 0}' END::jsonb AS options FROM generate_series(1, 60) n;
SELECT count(*), max(t) FROM (SELECT residual_translate(title, model) AS t FROM mixed LIMIT 39) s;
SELECT count(*), max(t) FROM (SELECT residual_translate(title, model) AS t FROM mixed LIMIT 40) s;
SELECT count(*), max(t) FROM (SELECT residual_translate(title, 'en_de', options) AS t FROM mixed LIMIT 19) s;
SELECT count(*), max(t) FROM (SELECT residual_translate(title, 'en_de', options) AS t FROM mixed LIMIT 20) s;
SELECT count(*), max(t) FROM (SELECT residual_translate(NULLIF(title, 'good night'), model) AS t FROM mixed OFFSET 0) s;
SELECT count(t), max(q) FROM (SELECT 1 / (40 - id) AS q, residual_translate(title, 'en_de') AS t FROM mixed LIMIT 39) s;
SELECT count(t), max(q) FROM (SELECT 1 / (40 - id) AS q, residual_translate(title, 'en_de') AS t FROM mixed LIMIT 40) s;
-- more combinations than are kept
SELECT count(*), count(t) FROM (SELECT residual_translate(titel, 'de_en', jsonb_build_object('max_length', id)) AS t FROM products OFFSET 0) s;

-- what is volatile is done when it was, row by row
CREATE SEQUENCE s;
EXPLAIN (COSTS OFF) SELECT residual_translate('good night ' || nextval('s'), 'en_de') FROM products;
SELECT bool_and(n = id) FROM (SELECT id, nextval('s') AS n, residual_translate(title, 'en_de') FROM products ORDER BY id OFFSET 0) q;

-- said once a statement
SELECT count(residual_translate) FROM (SELECT residual_translate(repeat('the dog sees the cat ', id % 50), 'en_de') FROM products OFFSET 0) s;

-- rights are those of the caller, on the model and on the function
CREATE ROLE regress_batch;
GRANT SELECT ON products TO regress_batch;
SET ROLE regress_batch;
SELECT count(residual_translate) FROM (SELECT residual_translate(title, 'en_de') FROM products OFFSET 0) s;
RESET ROLE;
SELECT residual_grant('en_de', 'regress_batch');
SET ROLE regress_batch;
SELECT count(residual_translate) FROM (SELECT residual_translate(title, 'en_de') FROM products OFFSET 0) s;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION residual_translate(text, text) FROM PUBLIC;
SET ROLE regress_batch;
EXPLAIN (COSTS OFF) SELECT residual_translate(title, 'en_de') FROM products;
RESET ROLE;
GRANT EXECUTE ON FUNCTION residual_translate(text, text) TO PUBLIC;
SELECT residual_revoke('en_de', 'regress_batch');
DROP OWNED BY regress_batch;
DROP ROLE regress_batch;

-- sizes
SET residual.batch_rows = 1;
SELECT rows, sentences FROM counts($$SELECT id, residual_translate(title, 'en_de') FROM products WHERE id < 30$$);
SET residual.batch_rows = 0;
RESET residual.batch_rows;
SET work_mem = '64kB';
SELECT count(*) FROM (SELECT id, repeat('x', 1000), residual_translate(title, 'en_de') FROM products OFFSET 0) s;
RESET work_mem;
-- a LIMIT does not translate much more than it gives
SELECT rows, sentences <= 10 AS few FROM counts($$SELECT id, residual_translate(title, 'en_de') FROM products LIMIT 3$$);
SELECT count(*) FROM (SELECT residual_translate(title, 'en_de') FROM products WHERE false) s;

-- the window function
SET residual.enable_batching = off;
EXPLAIN (COSTS OFF) SELECT id, residual_translate_window(title, 'en_de') OVER () FROM products;
SELECT count(*), count(t), count(*) FILTER (WHERE t IS DISTINCT FROM titel) AS differ
  FROM (SELECT titel, residual_translate_window(title, 'en_de') OVER () AS t FROM products) s;
SELECT count(*), count(*) FILTER (WHERE t IS DISTINCT FROM titel) AS differ
  FROM (SELECT titel, residual_translate_window(title, 'en_de', '{"beam": 2}') OVER (PARTITION BY shelf ORDER BY id) AS t FROM products) s;
SELECT id, residual_translate_window(title, 'en_de') OVER (ORDER BY id ROWS 2 PRECEDING) FROM products ORDER BY id LIMIT 3;
SELECT id, residual_translate_window(CASE shelf WHEN 0 THEN titel ELSE title END, CASE shelf WHEN 0 THEN 'de_en' ELSE 'en_de' END) OVER (ORDER BY id)
  FROM products ORDER BY id LIMIT 4;
SET residual.default_model = 'en_de';
SELECT count(DISTINCT residual_translate_window) FROM (SELECT residual_translate_window(title) OVER () FROM products) s;
RESET residual.default_model;
SELECT residual_translate_window(title) OVER () FROM products;
SELECT residual_translate_window(title, 'en_fr') OVER () FROM products;
SELECT count(t) FROM (SELECT residual_translate_window(title, model) OVER (ORDER BY id) AS t FROM mixed ORDER BY id LIMIT 39) s;
SELECT count(t) FROM (SELECT residual_translate_window(title, model) OVER (ORDER BY id) AS t FROM mixed ORDER BY id LIMIT 40) s;
SELECT residual_translate_window('good night', 'en_de');
RESET residual.enable_batching;

SELECT residual_drop_model('en_de');
SELECT residual_drop_model('de_en');
DROP FUNCTION one(text), translations(), counts(text);
DROP PROCEDURE same(text);
DROP SEQUENCE s;
DROP TABLE products, pairs, parted, translated, mixed;
