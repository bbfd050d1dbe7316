--
-- demands.sql: what a glossary and "preserve" do to translations, and what they cost.
--
--   psql -f test/bench/demands.sql [-v model=residual] [-v rows=1000] DATABASE
--
-- In a database with tables train and val (en, de) and a model that was trained on the first, as test/bench/quality.sh makes it.
--
-- A term is the word of a reference that the plain translation lacks and that goes best with a word of the source: by Dice's
-- coefficient over the corpus, which knows nothing of the model.  So every demand is one that the model would not have met.
-- What is to be kept is put between two words of the source; BLEU is that of the answer without it, beside the answer to the
-- sentence as it was.
--
\set ON_ERROR_STOP on
\if :{?model}
\else
	\set model residual
\endif
\if :{?rows}
\else
	\set rows 1000
\endif
SET client_min_messages = warning;
SET residual.default_model = :'model';
\pset footer off

CREATE FUNCTION pg_temp.words(sentence text) RETURNS text[] LANGUAGE sql IMMUTABLE AS
$$ SELECT array_agg(DISTINCT w[1]) FROM regexp_matches(sentence, '[[:alpha:]]+', 'g') w $$;
CREATE FUNCTION pg_temp.seconds() RETURNS float LANGUAGE sql VOLATILE AS $$ SELECT extract(epoch FROM clock_timestamp()) $$;

CREATE TEMP TABLE plain AS
SELECT row_number() OVER () AS id, en, de, residual_translate(en) AS plain FROM (SELECT * FROM val LIMIT :rows) v;

\echo glossary
CREATE TEMP TABLE pair AS SELECT s, t, count(*) AS n FROM train, unnest(pg_temp.words(en)) s, unnest(pg_temp.words(de)) t GROUP BY s, t;
CREATE TEMP TABLE source_word AS SELECT s, count(*) AS n FROM train, unnest(pg_temp.words(en)) s GROUP BY s;
CREATE TEMP TABLE target_word AS SELECT t, count(*) AS n FROM train, unnest(pg_temp.words(de)) t GROUP BY t;
CREATE INDEX ON pair (s, t);
ANALYZE pair, source_word, target_word;
CREATE TEMP TABLE demand AS
SELECT DISTINCT ON (id) id, en, de, plain, s, t, 2.0 * pair.n / (a.n + b.n) AS dice
  FROM plain JOIN pair ON s = ANY (pg_temp.words(en)) AND t = ANY (pg_temp.words(de))
       JOIN source_word a USING (s) JOIN target_word b USING (t)
 WHERE t <> ALL (pg_temp.words(plain)) AND length(t) > 3 AND 2.0 * pair.n / (a.n + b.n) > 0.1
 ORDER BY id, dice DESC;
-- each in turn, so that both find the machine alike
CREATE TEMP TABLE times (what text, seconds float);
SELECT pg_temp.seconds() AS start \gset
CREATE TEMP TABLE again AS SELECT id, residual_translate(en) AS answer FROM demand;
INSERT INTO times VALUES ('plain', pg_temp.seconds() - :start);
SELECT pg_temp.seconds() AS start \gset
CREATE TEMP TABLE held AS
SELECT *, (SELECT count(*) FROM regexp_matches(answer, '\m' || t || '\M', 'g')) AS times
  FROM (SELECT *, residual_translate(en, :'model', jsonb_build_object('glossary', jsonb_build_object(s, t))) AS answer FROM demand) h;
INSERT INTO times VALUES ('glossary', pg_temp.seconds() - :start);
SELECT count(*) AS sentences, count(*) FILTER (WHERE times > 0) AS with_term, count(*) FILTER (WHERE times > 1) AS more_than_once,
       round(residual_bleu(plain, de)::numeric, 2) AS plain, round(residual_bleu(answer, de)::numeric, 2) AS glossary,
       round(avg(length(answer))::numeric / avg(length(plain))::numeric, 3) AS longer, round(avg(length(de))::numeric / avg(length(plain))::numeric, 3) AS reference,
       count(*) FILTER (WHERE answer !~ '[.!?"]$' AND plain ~ '[.!?"]$') AS no_end, count(*) FILTER (WHERE answer ~ '(\m\w+\M) \1\M' AND plain !~ '(\m\w+\M) \1\M') AS stutter
  FROM held;

-- all terms as one glossary, for all sentences, as a user has one
SELECT jsonb_build_object('glossary', jsonb_object_agg(s, t)) AS glossary, count(*) AS terms FROM (SELECT DISTINCT ON (s) s, t FROM demand ORDER BY s, dice DESC) d \gset
SELECT pg_temp.seconds() AS start \gset
CREATE TEMP TABLE plain_again AS SELECT id, residual_translate(en) AS answer FROM plain;
INSERT INTO times VALUES ('all sentences, plain', pg_temp.seconds() - :start);
SELECT pg_temp.seconds() AS start \gset
CREATE TEMP TABLE all_held AS SELECT id, en, de, plain, residual_translate(en, :'model', :'glossary') AS answer FROM plain;
INSERT INTO times VALUES ('all sentences, one glossary', pg_temp.seconds() - :start);
SELECT :terms AS terms, sum(n) AS demands, sum(held) AS held, round(residual_bleu(plain, de)::numeric, 2) AS plain, round(residual_bleu(answer, de)::numeric, 2) AS glossary
  FROM (SELECT h.*, d.n, d.held
          FROM all_held h,
               LATERAL (SELECT count(*) AS n, count(*) FILTER (WHERE answer ~ ('\m' || value || '\M')) AS held
                          FROM jsonb_each_text(:'glossary'::jsonb->'glossary') WHERE en ~ ('\m' || key || '\M')) d) a;

\echo preserve
CREATE TEMP TABLE asked AS
SELECT p.*, kind, kept, array_to_string(words[:k] || kept || words[k + 1:], ' ') AS text
  FROM plain p,
       LATERAL (SELECT string_to_array(en, ' ') AS words) w,
       LATERAL (SELECT 1 + cardinality(words) / 2 AS k,
                       (ARRAY['number', 'address', 'braces', 'format', 'mail'])[1 + id % 5] AS kind,
                       (ARRAY[format('%s,%s.%s', id % 89 + 1, 100 + id % 900, id % 10), format('https://example.org/a?id=%s&x=%%20', id),
                              format('{name_%s}', id), (ARRAY['%s', '%d', '%(n)s', '%.2f', '%1$s'])[1 + id / 5 % 5], format('user.%s@example.org', id)])[1 + id % 5] AS kept) k;
SELECT pg_temp.seconds() AS start \gset
CREATE TEMP TABLE unkept AS SELECT *, residual_translate(text) AS answer FROM asked;
INSERT INTO times VALUES ('with what is to be kept, plain', pg_temp.seconds() - :start);
SELECT pg_temp.seconds() AS start \gset
CREATE TEMP TABLE kept AS SELECT *, residual_translate(text, :'model', '{"preserve": true}') AS answer FROM asked;
INSERT INTO times VALUES ('with what is to be kept, preserve', pg_temp.seconds() - :start);
CREATE FUNCTION pg_temp.times(part text, of text) RETURNS int LANGUAGE sql IMMUTABLE AS
$$ SELECT (length(of) - length(replace(of, part, ''))) / length(part) $$;
SELECT k.kind, count(*) AS sentences, count(*) FILTER (WHERE pg_temp.times(k.kept, u.answer) = 1) AS kept_without,
       count(*) FILTER (WHERE pg_temp.times(k.kept, k.answer) = 1) AS kept,
       round(residual_bleu(k.plain, k.de)::numeric, 2) AS as_it_was,
       round(residual_bleu(replace(k.answer, k.kept, ' '), k.de)::numeric, 2) AS rest_with, round(residual_bleu(replace(u.answer, u.kept, ' '), k.de)::numeric, 2) AS rest_without,
       round(avg(length(k.answer) - length(k.kept))::numeric / avg(length(k.plain))::numeric, 3) AS longer
  FROM kept k JOIN unkept u USING (id) GROUP BY GROUPING SETS ((k.kind), ()) ORDER BY k.kind;
SELECT what, round(seconds::numeric, 2) AS seconds FROM times;
