--
-- calls that not every row needs, batched: they are made for the rows for
-- which SQL makes them, and for no other
--
CREATE TABLE pairs (en text, de text);
INSERT INTO pairs VALUES
    ('the dog sees the cat', 'der hund sieht die katze'), ('the bird sings', 'der vogel singt'),
    ('the house is old', 'das haus ist alt'), ('we drink water', 'wir trinken wasser'), ('good night', 'gute nacht');
\set options '{"layers": 1, "d_model": 32, "d_ffn": 64, "heads": 2, "max_length": 32, "threads": 1, "dropout": 0, "label_smoothing": 0, "batch_tokens": 256, "learning_rate": 0.01, "warmup_steps": 20, "max_steps": 120, "validation": "0"}'
SELECT residual_train('en_de', 'pairs', 'en', 'de', :'options') AS job \gset
SELECT residual_wait(:job);
SELECT residual_train('de_en', 'pairs', 'de', 'en', :'options') AS job \gset
SELECT residual_wait(:job);

-- texts in two languages, some translated before; x is 0 in rows 30 and 60, y at times NULL
CREATE TABLE products AS
SELECT n AS id, CASE n % 3 WHEN 0 THEN 'de' ELSE 'en' END AS lang, CASE n % 3 WHEN 0 THEN de ELSE en END AS title,
       CASE WHEN n % 4 = 1 THEN 'known ' || n END AS cached, 30 * (n % 30 <> 0)::int AS x, NULLIF(n % 5, 0) AS y,
       ARRAY['good night', 'the bird sings'] AS two
  FROM generate_series(1, 90) n JOIN (SELECT row_number() OVER (ORDER BY en COLLATE "C") - 1 AS r, en, de FROM pairs) p ON r = n % 5
 ORDER BY n;
CREATE TABLE settings AS SELECT 'en_de' AS model, 50 AS start;
ANALYZE products, settings;

-- rows one by one, and the error that ends them
CREATE FUNCTION outcome(query text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE c refcursor; r record; rows text[] := '{}';
BEGIN
    OPEN c NO SCROLL FOR EXECUTE query;
    LOOP
        FETCH c INTO r;
        EXIT WHEN NOT FOUND;
        rows := rows || r::text;
    END LOOP;
    RETURN rows;
EXCEPTION WHEN OTHERS THEN
    RETURN rows || (SQLSTATE || ': ' || SQLERRM);
END $$;
-- the plan's calls, and whether rows and error are those of the scalar calls
CREATE PROCEDURE same(query text) LANGUAGE plpgsql AS $$
DECLARE line text; batched text[]; scalar text[];
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        IF line ~ 'Translate' THEN RAISE INFO '%', trim(line); END IF;
    END LOOP;
    batched := outcome(query);
    SET LOCAL residual.enable_batching = off;
    scalar := outcome(query);
    SET LOCAL residual.enable_batching = on;
    RAISE INFO '-- % %', cardinality(batched), CASE
        WHEN batched IS DISTINCT FROM scalar THEN format('DIFFER: %s AND %s', batched, scalar)
        WHEN batched[cardinality(batched)] ~ '^[0-9A-Z]{5}: ' THEN batched[cardinality(batched)] ELSE 'rows' END;
END $$;
\set SHOW_CONTEXT never
CREATE FUNCTION texts(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) ' || query INTO plan;
    RETURN (SELECT sum((n->>'Sentences')::bigint) FROM jsonb_path_query(plan, '$.**') n WHERE jsonb_typeof(n) = 'object' AND n ? 'Sentences');
END $$;

-- COALESCE and CASE, in both forms
CALL same($$SELECT id, coalesce(cached, residual_translate(title, 'en_de')) AS t FROM products$$);
CALL same($$SELECT id, CASE WHEN lang <> 'en' THEN residual_translate(title, lang || '_en') ELSE title END AS t FROM products$$);
CALL same($$SELECT CASE lang WHEN 'en' THEN residual_translate(title, 'en_de') WHEN 'de' THEN residual_translate(title, 'de_en') END AS t FROM products$$);
CALL same($$SELECT CASE WHEN y IS NULL THEN 'none' WHEN y > 2 THEN residual_translate(title, 'en_de') ELSE residual_translate(title, 'de_en') END AS t FROM products$$);
CALL same($$SELECT CASE y WHEN 1 THEN 'one' WHEN 2 THEN residual_translate(title || id, 'en_de') ELSE residual_translate(title || y, 'de_en') END AS t FROM products$$);
CALL same($$SELECT coalesce(cached, CASE WHEN y > 2 THEN CASE lang WHEN 'en' THEN upper(residual_translate(title, 'en_de')) END ELSE title END, residual_translate(title, 'de_en')) AS t FROM products$$);
CALL same($$SELECT residual_translate(CASE WHEN lang = 'en' THEN title ELSE two[1] END, CASE WHEN y > 1 THEN 'en_de' END) AS t FROM products$$);
CALL same($$SELECT nullif(residual_translate(title, 'en_de'), residual_translate(title, 'de_en')) AS t FROM products WHERE id < 20$$);
CALL same($$SELECT greatest(cached, residual_translate(title, 'en_de')) AS t FROM products WHERE id < 20$$);
-- AND and OR, with NULLs; conditions
CALL same($$SELECT id, y > 2 AND residual_translate(title, 'en_de') LIKE 'd%' AS a, y > 2 OR residual_translate(title, 'en_de') LIKE 'd%' AS o,
                   NOT (y > 2 AND cached IS NULL AND residual_translate(title, 'de_en') > 't') AS n FROM products$$);
CALL same($$SELECT id FROM products WHERE y < 3 OR residual_translate(title, 'en_de') LIKE 'd%'$$);
CALL same($$SELECT id, title FROM products WHERE (cached IS NOT NULL OR residual_translate(title, 'en_de') LIKE 'd%') AND residual_translate(title, 'de_en') > 't'$$);
CALL same($$SELECT id, residual_translate(title, 'de_en') AS t FROM products WHERE y < 3 OR residual_translate(title, 'en_de') LIKE 'd%'$$);
-- aggregates
CALL same($$SELECT lang, count(residual_translate(title, 'en_de')) FILTER (WHERE y > 2) AS n, max(coalesce(cached, residual_translate(title, 'en_de'))) AS m,
                   count(*) FILTER (WHERE residual_translate(title, 'en_de') LIKE 'd%') AS d FROM products GROUP BY lang ORDER BY lang$$);
CALL same($$SELECT lang, CASE WHEN count(*) > 40 THEN residual_translate(max(title), 'en_de') END AS m FROM products GROUP BY lang ORDER BY lang$$);
-- subscripts of what is NULL
CALL same($$SELECT (CASE WHEN y > 2 THEN two END)[length(residual_translate(title, 'en_de')) % 2 + 1] AS t FROM products$$);
-- what the call of another says
CALL same($$SELECT coalesce(nullif(residual_translate(title, 'en_de'), 'gute nacht'), residual_translate(title, 'de_en', '{"beam": 2}')) AS t FROM products$$);
CALL same($$SELECT CASE residual_translate(title, 'en_de') WHEN 'gute nacht' THEN residual_translate(title, 'de_en') END AS t FROM products$$);

-- no more is translated than was
SELECT texts($$SELECT coalesce(cached, residual_translate(title || id, 'en_de')) FROM products$$), count(*) FROM products WHERE cached IS NULL;
SELECT texts($$SELECT CASE WHEN y > 2 AND lang = 'en' THEN residual_translate(title || id, 'en_de') WHEN y > 2 THEN title END FROM products$$),
       count(*) FROM products WHERE y > 2 AND lang = 'en';

-- errors are those of the row, of the guard or behind it, and come when it does
CALL same($$SELECT id, CASE WHEN x <> 0 THEN residual_translate((30 / x)::text, 'en_de') END AS t FROM products$$);
CALL same($$SELECT id, residual_translate((30 / x)::text, 'en_de') AS t FROM products$$);
CALL same($$SELECT id, residual_translate((30 / x)::text, 'en_de') AS t FROM products LIMIT 29$$);
CALL same($$SELECT id, CASE WHEN 30 / x = 1 THEN residual_translate(title, 'en_de') END AS t FROM products$$);
CALL same($$SELECT id, coalesce(cached, residual_translate(title || 30 / (id - 49), 'en_de')) AS t FROM products$$);
CALL same($$SELECT id, coalesce(cached, residual_translate(title || 30 / (id - 50), 'en_de')) AS t FROM products$$);
CALL same($$SELECT id, 1 / (id - 40) AS q, residual_translate(title || 1 / (id - 40), 'en_de') AS t, 'x'::text || 1 / (id - 40) AS r FROM products$$);
CALL same($$SELECT id, CASE WHEN id = 35 THEN lang::int END AS i, residual_translate((30 / (id - 35))::text, 'en_de') AS t FROM products$$);
CALL same($$SELECT id, CASE WHEN id > 20 AND y > 2 THEN residual_translate(title, 'fr_' || y) END AS t FROM products$$);
CALL same($$SELECT id, CASE WHEN id > 200 THEN residual_translate(title, 'fr_' || y) END AS t FROM products$$);
CALL same($$SELECT id, 1 / (id - 21) AS q, CASE WHEN id > 20 THEN residual_translate(title, 'fr_en') END AS t FROM products$$);
CALL same($$SELECT id, coalesce(cached, residual_translate(title, 'en_de', jsonb_build_object('beam', 44 - id))) AS t FROM products$$);
CALL same($$SELECT CASE WHEN id < 40 THEN residual_translate(title, 'en_de') ELSE (title::int)::text END AS t FROM products$$);
CALL same($$SELECT id FROM products WHERE y < 3 OR residual_translate(title || 1 / (id - 43), 'en_de') LIKE 'd%'$$);
CALL same($$SELECT count(residual_translate((30 / x)::text, 'en_de')) FILTER (WHERE x > 0) AS n, count(residual_translate((30 / x)::text, 'en_de')) FILTER (WHERE y < 0) AS m FROM products$$);
CALL same($$SELECT count(residual_translate((30 / x)::text, 'en_de')) FILTER (WHERE y > 0) AS n, count(residual_translate((30 / x)::text, 'en_de')) FILTER (WHERE y IS NULL) AS m FROM products$$);
-- of calls of calls, too
CALL same($$SELECT id, coalesce(residual_translate(residual_translate(title || 1 / (id - 50), 'en_de'), 'de_en'), 'x') AS t FROM products$$);
CALL same($$SELECT id, residual_translate(residual_translate(title, CASE WHEN id < 60 THEN 'en_de' ELSE 'en_fr' END), 'de_en') AS t FROM products LIMIT 60$$);
CALL same($$SELECT id, residual_translate(residual_translate(title, CASE WHEN id < 60 THEN 'en_de' ELSE 'en_fr' END), 'de_en') AS t FROM products LIMIT 59$$);
CALL same($$SELECT id, residual_translate(residual_translate(residual_translate(two[y], 'en_de'), 'de_en'), CASE WHEN id < 60 THEN 'en_de' END,
                                          jsonb_build_object('beam', 40 - id)) AS t FROM products LIMIT 39$$);
-- conditions of which each is checked for the rows that those before it have left
CALL same($$SELECT id FROM products WHERE residual_translate(title || 1 / (id - 40), 'en_de') > '' AND residual_translate(title, 'de_en') > ''$$);
CALL same($$SELECT residual_translate(two[2], 'en_de') FROM products WHERE residual_translate(title, 'en_de') LIKE 'd%' AND y > 1
              AND residual_translate(title || 1 / (id - 41), 'de_en') > '' AND (cached || y < 'known 5' OR residual_translate(title, 'de_en', '{"beam": 2}') > 'd')$$);
-- AND goes on behind a NULL, conditions do not
CALL same($$SELECT id, CASE WHEN NULLIF(y, 3) > 0 AND 1 / (id - 48) < 2 THEN residual_translate(title, 'en_de') END AS t FROM products$$);
CALL same($$SELECT id, y > 2 AND NULLIF(x, 30) > 0 AND residual_translate(title || 1 / (id - 48), 'en_de') > '' AS t FROM products$$);

-- what is volatile is evaluated once a row: such calls stay what they were, and so do those that depend on the row's subplans
CREATE SEQUENCE s;
CALL same($$SELECT id, CASE WHEN nextval('s') > 0 THEN residual_translate(title, 'en_de') END AS t FROM products WHERE id < 10$$);
SELECT nextval('s');
CALL same($$SELECT id, CASE WHEN EXISTS (SELECT FROM settings WHERE start < id) THEN residual_translate(title, 'en_de') END AS t FROM products$$);
CALL same($$SELECT id, CASE WHEN id IN (SELECT q.id + 1 FROM products q WHERE q.y = 1) THEN residual_translate(title, 'en_de') END AS t FROM products$$);
-- a subplan of the whole query runs when the first row needs it
CALL same($$SELECT id, CASE WHEN id > (SELECT start FROM settings) THEN residual_translate(title, (SELECT model FROM settings)) ELSE title END AS t FROM products$$);
CALL same($$SELECT id, CASE WHEN id > 70 THEN residual_translate(title, (SELECT 'en_de' WHERE 1 / (start - 50) > 0)) END AS t FROM products, settings$$);
CALL same($$SELECT id, CASE WHEN id > 70 THEN residual_translate(title, (SELECT model FROM settings WHERE 1 / (start - 50) > 0)) END AS t FROM products$$);
CALL same($$SELECT id, CASE WHEN id > 270 THEN residual_translate(title, (SELECT model FROM settings WHERE 1 / (start - 50) > 0)) END AS t FROM products$$);
CALL same($$SELECT p.id, t FROM products p, LATERAL (SELECT CASE WHEN p.id > 5 THEN residual_translate(q.title, 'en_de') END AS t FROM products q WHERE q.id <= p.y OFFSET 0) l WHERE p.id < 12$$);
-- functions that have errors of their own and forget them
CREATE FUNCTION number(text) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN $1::int; EXCEPTION WHEN invalid_text_representation THEN RETURN 0; END $$;
CREATE FUNCTION first(text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT en FROM pairs WHERE $1 IN (en, de) AND 1 / nullif(length($1), 16) < 1 ORDER BY 1 LIMIT 1 $$;
CALL same($$SELECT id, CASE WHEN number(coalesce(substr(cached, 7), title)) < 70 THEN residual_translate(first(title), 'en_de') END AS t FROM products$$);
CALL same($$SELECT id, CASE WHEN number(title) = 0 THEN residual_translate(first(title) || 1 / (id - 55), 'en_de') END AS t FROM products$$);
-- a cancel is meant for the statement
CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN PERFORM pg_sleep(20); RETURN $1; END $$;
SET statement_timeout = 100;
SELECT CASE WHEN slow(id) > 0 THEN residual_translate(title, 'en_de') END FROM products;
RESET statement_timeout;
SELECT count(CASE WHEN number(title) = 0 THEN residual_translate(title, 'en_de') END) FROM products;
-- domains and casts
CREATE DOMAIN short AS varchar(12) CHECK (length(VALUE) < 11);
CALL same($$SELECT id, CASE WHEN length(title) < 17 THEN residual_translate(title, 'en_de')::varchar(5) END AS t FROM products$$);
CALL same($$SELECT id, CASE WHEN y > 2 THEN residual_translate((title || id)::char(10), 'en_de')::short END AS t FROM products$$);
CALL same($$SELECT id, CASE WHEN y > 2 THEN residual_translate(substr(title, 1, id / 6)::short, 'en_de') END AS t FROM products$$);
-- parameters, and statements that go on after an error
PREPARE p AS SELECT id, CASE WHEN y > $1 THEN residual_translate(title, $2) END AS t FROM products WHERE id < 6 ORDER BY id;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE p(2, 'en_de');
EXECUTE p(2, 'en_de');
EXECUTE p(7, 'en_fr');
EXECUTE p(2, 'en_fr');
RESET plan_cache_mode;
BEGIN;
DECLARE c NO SCROLL CURSOR FOR SELECT id, residual_translate(title || 1 / (id - 10), 'en_de') IS NULL AS t FROM products ORDER BY id;
MOVE 8 FROM c;
SAVEPOINT a;
FETCH 1 FROM c;
FETCH 1 FROM c;
ROLLBACK TO a;
SELECT residual_translate('good night', 'en_de');
COMMIT;
-- parallel workers
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT coalesce(cached, residual_translate(title, lang || '_en')) FROM products WHERE lang = 'de';
SELECT count(coalesce(cached, residual_translate(title, lang || '_en'))) FROM products WHERE lang = 'de';
SELECT count(t) FROM (SELECT CASE WHEN x > 0 THEN residual_translate((30 / x)::text, 'en_de') END AS t FROM products OFFSET 0) q;
SELECT count(t) FROM (SELECT CASE WHEN y > 2 THEN residual_translate((30 / x)::text, 'en_de') ELSE (30 / x)::text END AS t FROM products OFFSET 0) q;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET max_parallel_workers_per_gather;

SELECT residual_drop_model('en_de');
SELECT residual_drop_model('de_en');
DROP FUNCTION outcome(text), texts(text), number(text), first(text), slow(int);
DROP PROCEDURE same(text);
DROP SEQUENCE s;
DROP DOMAIN short;
DROP TABLE products, pairs, settings;
