--
-- is one model better than another, or is it chance?
--
-- Over texts.  The resamples are our own, their definition is sacreBLEU's: the
-- unit tests have its numbers.
CREATE TABLE judged (id int, a text, b text, reference text);
INSERT INTO judged
SELECT i, CASE WHEN i % 3 = 0 THEN 'the small ' ELSE 'the ' END || w || ' sees the ' || v,
       CASE WHEN i % 7 = 0 THEN 'a small ' ELSE 'the ' END || w || ' sees the ' || v,
       'the ' || w || ' sees the ' || v
  FROM generate_series(1, 60) i,
       LATERAL (SELECT (ARRAY['dog', 'cat', 'bird', 'fish', 'horse'])[1 + i % 5] AS w,
                       (ARRAY['house', 'tree', 'river', 'hill'])[1 + i % 4] AS v) words;
CREATE VIEW compared AS
SELECT c.* FROM (SELECT array_agg(a ORDER BY id) AS a, array_agg(b ORDER BY id) AS b, array_agg(reference ORDER BY id) AS r
                   FROM judged) x, LATERAL residual_compare(a, b, r) c;
-- the scores are those of the aggregates
SELECT c.metric, abs(c.score_1 - x.one) < 1e-9 AS one, abs(c.score_2 - x.two) < 1e-9 AS two,
       c.difference = c.score_2 - c.score_1 AS difference, c.lower <= c.difference AND c.difference <= c.upper AS inside,
       c.margin_1 > 0 AND c.margin_2 > 0 AS spread, c.p_value < 0.05 AS better
  FROM compared c JOIN (SELECT m.* FROM (SELECT residual_bleu(a, reference) AS bleu_a, residual_bleu(b, reference) AS bleu_b,
                                  residual_chrf(a, reference) AS chrf_a, residual_chrf(b, reference) AS chrf_b,
                                  100 * avg((a = reference)::int::float8) AS exact_a, 100 * avg((b = reference)::int::float8) AS exact_b
                             FROM judged) s,
                     LATERAL (VALUES ('bleu', bleu_a, bleu_b), ('chrf', chrf_a, chrf_b), ('exact_match', exact_a, exact_b))
                             m(metric, one, two)) x USING (metric)
 ORDER BY c.metric;
-- the seed decides, the order of the systems does not
SELECT metric, x.difference = - y.difference AS turned, x.p_value = y.p_value AS same_p, x.lower = - y.upper AS same_interval
  FROM compared x JOIN (SELECT c.* FROM (SELECT array_agg(a ORDER BY id) AS a, array_agg(b ORDER BY id) AS b,
                                                array_agg(reference ORDER BY id) AS r FROM judged) x,
                               LATERAL residual_compare(b, a, r, '{"seed": 12345, "samples": 1000, "confidence": 0.95}') c) y
 USING (metric) ORDER BY metric;
SELECT count(DISTINCT lower) > 1 AS seeds_differ
  FROM (SELECT array_agg(a) AS a, array_agg(b) AS b, array_agg(reference) AS r FROM judged) x,
       generate_series(1, 5) seed, LATERAL residual_compare(a, b, r, jsonb_build_object('seed', seed, 'samples', 50)) c
 WHERE metric = 'bleu';
SELECT metric, wide.upper - wide.lower > narrow.upper - narrow.lower AS wider
  FROM (SELECT array_agg(a) AS a, array_agg(b) AS b, array_agg(reference) AS r FROM judged) x,
       LATERAL residual_compare(a, b, r, '{"confidence": 0.99}') wide
  JOIN LATERAL residual_compare(a, b, r, '{"confidence": 0.5}') narrow USING (metric) ORDER BY metric;
-- a system against itself, and one sentence
SELECT metric, difference, lower, upper, p_value FROM residual_compare('{a b c d,e}', '{a b c d,e}', '{a b c d e,e}');
SELECT metric, difference < 0 AS worse, lower = difference AND upper = difference AS no_spread, p_value FROM residual_compare('{a b c d}', '{a b c x}', '{a b c d}', '{"samples": 9}');
-- a NULL leaves its sentence out
SELECT metric, round(score_1::numeric, 6) AS score_1, p_value
  FROM residual_compare('{a b c d,NULL,x}', '{a b c d,y,x}', '{a b c d,y,NULL}', '{"samples": 99}');

SELECT residual_compare('{a}', '{a,b}', '{a}');
SELECT residual_compare('{NULL}', '{b}', '{a}');
SELECT residual_compare('{}'::text[], '{}', '{}');
SELECT residual_compare('{a}', NULL, '{a}');
SELECT residual_compare('{a}', '{a}', '{a}', '{"samples": 0}');
SELECT residual_compare('{a}', '{a}', '{a}', '{"samples": "many"}');
SELECT residual_compare('{a}', '{a}', '{a}', '{"samples": 1.5}');
SELECT residual_compare('{a}', '{a}', '{a}', '{"seed": -1}');
SELECT residual_compare('{a}', '{a}', '{a}', '{"confidence": 95}');
SELECT residual_compare('{a}', '{a}', '{a}', '{"beam": 5}');
SELECT residual_compare('{a}', '{a}', '{a}', '[]');
-- it can be cancelled
SET statement_timeout = '300ms';
SELECT residual_compare(array_agg(a), array_agg(b), array_agg(reference), '{"samples": 1000000}')
  FROM judged, generate_series(1, 100);
RESET statement_timeout;

-- Over models, on a task that is no translation: commands into actions, as in SCAN.
CREATE TABLE commands AS
SELECT c || coalesce(' ' || t, '') AS command,
       rtrim(repeat('I_' || upper(c) || ' ', CASE t WHEN 'twice' THEN 2 WHEN 'thrice' THEN 3 ELSE 1 END)) AS actions
  FROM unnest(ARRAY['jump', 'run', 'walk', 'look']) c, unnest(ARRAY[NULL, 'twice', 'thrice']) t;
SELECT count(residual_train(model, 'commands', 'command', 'actions', jsonb_build_object('max_steps', steps) ||
    '{"layers": 1, "d_model": 32, "d_ffn": 64, "heads": 2, "max_length": 32, "threads": 1, "dropout": 0,
      "label_smoothing": 0, "batch_tokens": 256, "learning_rate": 0.01, "warmup_steps": 20, "validation": "0"}')) AS jobs
  FROM (VALUES ('good', 250), ('bad', 2)) m(model, steps);
SELECT model, residual_wait(job) FROM residual_jobs WHERE model IN ('good', 'bad') ORDER BY model;
SELECT metric, round(value::numeric, 6) AS value FROM residual_evaluate('good', 'commands', 'command', 'actions') WHERE metric IN ('bleu', 'exact_match', 'sentences');
SELECT metric, value FROM residual_evaluate('bad', 'commands', 'command', 'actions') WHERE metric = 'exact_match';
SELECT metric, score_1 = one.value AS one, score_2 = two.value AS two, difference > 0 AS better, lower > 0 AS surely, p_value < 0.05 AS p
  FROM residual_compare('bad', 'good', 'commands', 'command', 'actions', '{"samples": 200, "beam": 2}')
  JOIN residual_evaluate('bad', 'commands', 'command', 'actions', '{"beam": 2}') one USING (metric)
  JOIN residual_evaluate('good', 'commands', 'command', 'actions', '{"beam": 2}') two USING (metric) ORDER BY metric;
SELECT metric, difference, p_value FROM residual_compare('good', 'good', 'commands', 'command', 'actions', '{"limit": 5}');

-- Answers much longer than their sources: what the corpus shows of lengths holds for validations and translations.
CREATE TABLE signals AS
SELECT x.* FROM (SELECT string_agg(chr(n), ' ' ORDER BY n) AS a, string_agg(chr(n), ' ' ORDER BY -n) AS z FROM generate_series(97, 122) n) s,
       LATERAL (VALUES ('forth', a), ('back', z), ('shout', upper(a)), ('both', a || ' ' || z)) x(command, actions), generate_series(1, 10);
SELECT residual_train('signals', 'signals', 'command', 'actions',
    '{"layers": 1, "d_model": 32, "d_ffn": 64, "heads": 2, "max_length": 128, "threads": 1, "dropout": 0, "label_smoothing": 0,
      "batch_tokens": 512, "learning_rate": 0.01, "warmup_steps": 20, "max_steps": 150, "validation": "signals"}') AS job \gset
SELECT residual_wait(:job);
SELECT configuration->'length_factor' = f.needed AS recorded, f.needed > '2' AS longer, round(validation_bleu::numeric, 6) AS bleu
  FROM residual_versions v, (SELECT to_jsonb(max(ceil((cardinality(residual_tokenize(actions, 'signals')) - 10.0) /
                                                      cardinality(residual_tokenize(command, 'signals'))))) AS needed
                             FROM signals) f WHERE model = 'signals';
SELECT round(value::numeric, 6) AS exact FROM residual_evaluate('signals', 'signals', 'command', 'actions') WHERE metric = 'exact_match';
-- what is given stands
SELECT residual_train('short', 'signals', 'command', 'actions',
    '{"layers": 1, "d_model": 16, "d_ffn": 16, "heads": 2, "threads": 1, "max_steps": 1, "validation": "0", "length_factor": 1.5}') AS job \gset
SELECT residual_wait(:job);
SELECT configuration->'length_factor' AS length_factor FROM residual_versions WHERE model = 'short';
SELECT residual_train('short', 'signals', 'command', 'actions', '{"from": "active", "length_factor": 3}');
SELECT residual_train('short', 'signals', 'command', 'actions', '{"length_factor": -1}');
SELECT residual_drop_model(m) FROM unnest(ARRAY['signals', 'short']) m;
DROP TABLE signals;

-- A text and its class: the label is a target like any other.
CREATE TABLE reviews AS
SELECT format('%s %s %s', a, n, v) AS review, CASE WHEN good THEN 'praise' ELSE 'blame' END AS label
  FROM unnest(ARRAY['the', 'this', 'my']) a, unnest(ARRAY['book', 'film', 'song', 'meal']) n,
       (VALUES ('is wonderful', true), ('pleases me', true), ('is dreadful', false), ('bores me', false)) x(v, good);
SELECT residual_train('sentiment', 'reviews', 'review', 'label',
    '{"layers": 1, "d_model": 32, "d_ffn": 64, "heads": 2, "max_length": 32, "threads": 1, "dropout": 0,
      "label_smoothing": 0, "batch_tokens": 256, "learning_rate": 0.01, "warmup_steps": 20, "max_steps": 150, "validation": "0.2"}') AS job \gset
SELECT residual_wait(:job);
-- the held-out reviews are among them
SELECT value FROM residual_evaluate('sentiment', 'reviews', 'review', 'label') WHERE metric = 'exact_match';
SELECT residual_translate('this meal bores me', 'sentiment');

SELECT residual_compare('good', 'worse', 'commands', 'command', 'actions');
SELECT residual_compare('good', NULL, 'commands', 'command', 'actions');
SELECT residual_compare('good', 'bad', 'commands', 'command', 'action');
SELECT residual_compare('good', 'bad', 'commands', 'command', 'actions', '{"samples": 1.5e7}');
SELECT residual_compare('good', 'bad', 'commands', 'command', 'actions', '{"beams": 5}');
TRUNCATE commands;
SELECT residual_compare('good', 'bad', 'commands', 'command', 'actions');
-- both models must be the caller's to use
CREATE ROLE rt_comparer;
GRANT SELECT ON commands TO rt_comparer;
SELECT residual_grant('good', 'rt_comparer');
SET ROLE rt_comparer;
SELECT residual_compare('good', 'bad', 'commands', 'command', 'actions');
RESET ROLE;
SELECT residual_drop_model(m) FROM unnest(ARRAY['good', 'bad', 'sentiment']) m;
DROP VIEW compared;
DROP TABLE judged, commands, reviews;
DROP ROLE rt_comparer;
