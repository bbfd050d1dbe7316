--
-- residual_bleu and residual_chrf give what sacreBLEU gives
--
-- The numbers to compare with are those of sacreBLEU 2.6.0,
-- BLEU().corpus_score and CHRF().corpus_score with their defaults.
--
CREATE TABLE judged (id int, hypothesis text, reference text);
INSERT INTO judged VALUES
    (1, 'The old bridge across the river was closed last winter.', 'The old bridge over the river was closed last winter.'),
    (2, 'She bought 1,200.50 kg of apples, pears & "plums" at the market!', 'She bought 1,200.50 kg of apples, pears and "plums" at the market.'),
    (3, 'Bitte öffnen Sie das Fenster, es ist heiß hier.', 'Bitte öffne das Fenster; es ist sehr heiß hier.'),
    (4, '', 'An empty answer counts as a sentence of no words.'),
    (5, 'the cat the cat the cat the cat', 'the cat is on the mat near the cat'),
    (6, 'Mother-in-law''s well-known 3-2 victory (2019).', 'My mother-in-law''s well-known 3 - 2 victory ( 2019 ).'),
    (7, '東京は日本の首都です。', '東京は日本の首都である。'),
    (8, 'Wait… what? No — really?!', 'Wait ... what? No, really?'),
    (9, E'  spaces   here \t and there ', 'spaces here and there'),
    (10, 'https://example.org/a.b?c=1,2 costs $5.00', 'https://example.org/a.b?c=1,2 costs 5.00 $'),
    (11, 'Naïve café owners’ façade', 'Naive cafe owners'' facade'),
    (12, 'He said : yes .', 'He said: yes.');

CREATE TABLE expected (name text, ids int[], bleu float8, chrf float8);
INSERT INTO expected VALUES
    ('all', '{1,2,3,4,5,6,7,8,9,10,11,12}', 55.16896602119926, 70.471041143151),
    ('odd', '{1,3,5,7,9,11}', 38.72616043434532, 67.22565861937065),
    ('even', '{2,4,6,8,10,12}', 61.07257340257236, 72.92679946491486),
    ('first', '{1}', 70.16879391277372, 84.08896903836744),
    ('fifth', '{5}', 14.575161396875705, 36.66281502008318),
    ('empty', '{4}', 0.0, 0.0),
    ('kana', '{7}', 0.0, 70.23134504616002);

SELECT e.name,
       abs(residual_bleu(hypothesis, reference) - e.bleu) < 1e-9 AS bleu,
       abs(residual_chrf(hypothesis, reference) - e.chrf) < 1e-9 AS chrf
  FROM expected e JOIN judged j ON j.id = ANY (e.ids)
 GROUP BY e.name, e.bleu, e.chrf ORDER BY e.name COLLATE "C";

SELECT residual_bleu_signature(), residual_chrf_signature();

-- a pair with a NULL in it is left out; nothing at all gives NULL
SELECT abs(residual_bleu(hypothesis, reference) - 55.16896602119926) < 1e-9 AS bleu,
       abs(residual_chrf(hypothesis, reference) - 70.471041143151) < 1e-9 AS chrf
  FROM (SELECT hypothesis, reference FROM judged
        UNION ALL VALUES (NULL, 'a'), ('b', NULL), (NULL, NULL)) j;
SELECT residual_bleu(hypothesis, reference), residual_chrf(hypothesis, reference) FROM judged WHERE id = 0;
SELECT residual_bleu(NULL, reference), residual_chrf(hypothesis, NULL) FROM judged;

-- as any aggregate: filtered, distinct, over windows
SELECT abs(residual_bleu(hypothesis, reference) FILTER (WHERE id % 2 = 1) - 38.72616043434532) < 1e-9 AS odd,
       abs(residual_chrf(DISTINCT hypothesis, reference) - 70.471041143151) < 1e-9 AS each_once
  FROM (SELECT * FROM judged UNION ALL SELECT * FROM judged) j;
SELECT id, abs(residual_bleu(hypothesis, reference) OVER (ORDER BY id DESC) - 55.16896602119926) < 1e-9 AS whole
  FROM judged ORDER BY id LIMIT 2;

-- in parts, by parallel workers
CREATE TABLE many AS
SELECT i AS id, h.text AS hypothesis, r.text AS reference
  FROM generate_series(1, 5000) i,
       (SELECT string_to_array('the a red old green cat dog house river sees takes finds under over near with and , . ! 1,000 3.5 öl straße', ' ') AS w) words,
       LATERAL (SELECT string_agg(w[1 + (i * 7 + k * k * 3 + i / 11) % 24], ' ' ORDER BY k) AS text
                  FROM generate_series(0, 2 + i % 9) k) h,
       LATERAL (SELECT string_agg(w[1 + (i * 7 + k * k * 3 + i / 11 + CASE WHEN (i + k) % 5 = 0 THEN 1 ELSE 0 END) % 24], ' ' ORDER BY k) AS text
                  FROM generate_series(0, 2 + i % 8) k) r;
ANALYZE many;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT residual_bleu(hypothesis, reference), residual_chrf(hypothesis, reference) FROM many;
SELECT abs(residual_bleu(hypothesis, reference) - 32.78862660587789) < 1e-9 AS bleu,
       abs(residual_chrf(hypothesis, reference) - 57.519184298407325) < 1e-9 AS chrf
  FROM many;
SET max_parallel_workers_per_gather = 0;
SELECT abs(residual_bleu(hypothesis, reference) - 32.78862660587789) < 1e-9 AS bleu,
       abs(residual_chrf(hypothesis, reference) - 57.519184298407325) < 1e-9 AS chrf
  FROM many;
RESET ALL;

-- the functions of the aggregates are no use by themselves
\set VERBOSITY sqlstate
SELECT residual_bleu_step(NULL, 'a', 'b');
SELECT residual_chrf_combine(NULL, NULL);
\set VERBOSITY default

DROP TABLE judged, expected, many;
