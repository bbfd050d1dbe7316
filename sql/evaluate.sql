--
-- judging a model on a table
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
SELECT residual_train('en_de', 'pairs', 'en', 'de',
    '{"layers": 1, "d_model": 32, "d_ffn": 64, "heads": 2, "max_length": 32, "threads": 1, "dropout": 0,
      "label_smoothing": 0, "batch_tokens": 256, "learning_rate": 0.01, "warmup_steps": 20, "max_steps": 200,
      "validation": "0"}') AS job \gset
SELECT residual_wait(:job);
-- learned by heart
SELECT metric, CASE WHEN metric IN ('sentences', 'skipped', 'unscored') THEN value::text
                    WHEN metric IN ('bleu', 'chrf', 'exact_match') THEN round(value::numeric, 6)::text
                    WHEN metric = 'loss' THEN (value BETWEEN 0 AND 0.05)::text
                    WHEN metric = 'perplexity' THEN (value BETWEEN 1 AND 1.05)::text
                    WHEN metric = 'sentences_per_second' THEN (value > 0)::text END AS value
  FROM residual_evaluate('en_de', 'pairs', 'en', 'de');

-- the numbers are those of the functions that it stands for
CREATE TABLE test AS
SELECT en, CASE WHEN length(en) % 2 = 0 THEN de ELSE 'wir essen ' || de END AS de FROM pairs, generate_series(1, 60)
UNION ALL VALUES (NULL, 'a'), ('b', NULL), ('', 'a'), ('b', ' ');
SELECT e.metric, abs(e.value - x.value) < 1e-6 AS same
  FROM residual_evaluate('en_de', 'test', 'en', 'de', '{"beam": 2}') e
  JOIN (SELECT m.metric, m.value
          FROM (SELECT residual_bleu(t, de) AS bleu, residual_chrf(t, de) AS chrf, 100 * avg((t = de)::int::float8) AS exact,
                       -sum(score) / sum(tokens) AS loss, count(*)::float8 AS sentences
                  FROM (SELECT de, residual_translate(en, 'en_de', '{"beam": 2}') AS t,
                               residual_score(en, de, 'en_de') AS score,
                               cardinality(residual_tokenize(de, 'en_de')) + 1 AS tokens
                          FROM test WHERE en <> '' AND de <> '' AND de <> ' ') rows) sums,
               LATERAL (VALUES ('bleu', bleu), ('chrf', chrf), ('exact_match', exact), ('loss', loss), ('perplexity', exp(loss)),
                               ('sentences', sentences), ('skipped', 4)) m(metric, value)) x USING (metric)
 ORDER BY e.metric;

SELECT value FROM residual_evaluate('en_de', 'test', 'en', 'de', '{"limit": 7}') WHERE metric = 'sentences';
SELECT count(*) FROM residual_evaluate('en_de', 'test', 'en', 'de', '{"limit": 7, "beam": 1, "length_penalty": 0}');

-- a reference longer than the model takes in is judged, but not scored
CREATE TABLE long_ones AS SELECT en, de FROM pairs UNION ALL SELECT en, repeat(de || ' ', 20) FROM pairs WHERE en LIKE 'good%';
SELECT e.metric, abs(e.value - CASE e.metric WHEN 'sentences' THEN 12 WHEN 'unscored' THEN 2 WHEN 'exact_match' THEN 1000 / 12.0
                                             WHEN 'bleu' THEN l.bleu ELSE p.value END) < 1e-5 AS same
  FROM residual_evaluate('en_de', 'long_ones', 'en', 'de') e
  JOIN residual_evaluate('en_de', 'pairs', 'en', 'de') p USING (metric),
       (SELECT residual_bleu(residual_translate(en, 'en_de'), de) AS bleu FROM long_ones) l
 WHERE e.metric IN ('sentences', 'skipped', 'unscored', 'loss', 'perplexity', 'bleu', 'exact_match') ORDER BY e.metric;
DELETE FROM long_ones WHERE length(de) < 100;
SELECT metric, value FROM residual_evaluate('en_de', 'long_ones', 'en', 'de')
 WHERE metric IN ('sentences', 'unscored', 'loss', 'perplexity', 'exact_match');
SELECT residual_score(en, de, 'en_de') FROM long_ones;
DROP TABLE long_ones;

-- what is wrong is said
SELECT residual_evaluate('en_de', 'test', 'en', 'fr');
SELECT residual_evaluate('en_de', 'nothing', 'en', 'de');
SELECT residual_evaluate('en_fr', 'test', 'en', 'de');
SELECT residual_evaluate('en_de', 'test', 'en', 'de', '{"limit": 0}');
SELECT residual_evaluate('en_de', 'test', 'en', 'de', '{"limit": "all"}');
SELECT residual_evaluate('en_de', 'test', 'en', 'de', '{"beam": 100}');
SELECT residual_evaluate('en_de', 'test', 'en', 'de', '{"max_steps": 1}');
SELECT residual_evaluate('en_de', 'test', 'en', 'de', NULL);
TRUNCATE test;
SELECT residual_evaluate('en_de', 'test', 'en', 'de');
INSERT INTO test VALUES ('good night', NULL);
SELECT residual_evaluate('en_de', 'test', 'en', 'de');

-- rows are read as the caller sees them
CREATE ROLE rt_reader;
GRANT SELECT (en) ON pairs TO rt_reader;
SELECT residual_grant('en_de', 'rt_reader');
SET ROLE rt_reader;
SELECT residual_evaluate('en_de', 'pairs', 'en', 'de');
RESET ROLE;
GRANT SELECT ON pairs TO rt_reader;
ALTER TABLE pairs ENABLE ROW LEVEL SECURITY;
CREATE POLICY good ON pairs TO rt_reader USING (en LIKE 'good%');
SET ROLE rt_reader;
SELECT value FROM residual_evaluate('en_de', 'pairs', 'en', 'de') WHERE metric = 'sentences';
RESET ROLE;
DROP TABLE pairs, test;
SELECT residual_drop_model('en_de');
DROP ROLE rt_reader;
