--
-- translating: one text, arrays, n best, scores, embeddings
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
-- learned by heart, so that answers are certain
SELECT residual_train('en_de', 'pairs', 'en', 'de',
    '{"layers": 1, "d_model": 32, "d_ffn": 64, "heads": 2, "max_length": 32, "threads": 1, "dropout": 0,
      "label_smoothing": 0, "batch_tokens": 256, "learning_rate": 0.01, "warmup_steps": 20, "max_steps": 200,
      "validation": "0"}') AS job \gset
-- not there yet
\set VERBOSITY sqlstate
SELECT residual_translate('good night', 'en_de');
\set VERBOSITY default
SELECT residual_wait(:job);

-- a column
SELECT en, residual_translate(en, 'en_de') FROM pairs ORDER BY en COLLATE "C";
SELECT count(*) FROM pairs WHERE residual_translate(en, 'en_de') = de;
SELECT count(*) FROM pairs WHERE residual_translate(en, 'en_de', '{"beam": 1}') = de;

-- the default model
SELECT residual_translate('good night');
SET residual.default_model = 'en_de';
SELECT residual_translate('good night');
SELECT residual_translate(ARRAY['good night', 'good morning']);

-- NULL and nothing
SELECT residual_translate(NULL::text), residual_translate('good night', NULL), residual_translate('good night', 'en_de', NULL);
SELECT residual_translate('') = '' AS empty, residual_translate(E' \t\n') = '' AS blank;

-- arrays keep their shape
SELECT residual_translate(ARRAY['good night', NULL, '', 'good morning'], 'en_de');
SELECT residual_translate(ARRAY[['good night', 'the bird sings'], [NULL, '']], 'en_de', '{"beam": 2}');
SELECT residual_translate('[5:6]={good night,a green tree}'::text[], 'en_de');
SELECT residual_translate('{}'::text[]), residual_translate('{NULL}'::text[]), residual_translate(NULL::text[]);
SELECT residual_translate(array_agg(en ORDER BY en)) = array_agg(de ORDER BY en) AS all_right,
       cardinality(residual_translate(array_agg(en || repeat(' ', n)))) AS n
  FROM pairs, generate_series(1, 500) n WHERE n = 1 OR en LIKE 'g%';

-- whatever comes in
SELECT count(residual_translate(text)) AS survived
  FROM unnest(ARRAY[E'\x01\x02\x7f', '😀😀😀', E'\u202e\u200b\ufeff', '﷽', repeat('x', 100000), repeat('the ', 300000), '<s></s>', '▁▁']) text;

-- too long for the model: said once a statement, whether one text or many
SELECT residual_translate(repeat('the dog sees the cat ', 20)) IS NOT NULL AS cut;
SELECT count(residual_translate(repeat('the dog sees the cat ', n))) FROM generate_series(20, 40) n;
SELECT cardinality(residual_translate(array_agg(repeat('the dog sees the cat ', n)))) FROM generate_series(1, 40) n WHERE n = 1 OR n > 37;

-- options
SELECT residual_translate('good night', 'en_de', '{"beam": 8, "length_penalty": 0.6, "max_length": 20}');
SELECT length(residual_translate('the dog sees the cat', 'en_de', '{"max_length": 2}')) < 24 AS short;
SELECT residual_translate('good night', 'en_de', '{"beem": 2}');
SELECT residual_translate('good night', 'en_de', '{"beam": 0}');
SELECT residual_translate('good night', 'en_de', '{"beam": "wide"}');
SELECT residual_translate('good night', 'en_de', '{"beam": null}');
SELECT residual_translate('good night', 'en_de', '{"length_penalty": [1]}');
SELECT residual_translate('good night', 'en_de', '{"precision": "float"}');
SELECT residual_translate('good night', 'en_de', '{"n_best": 2}');
SELECT residual_translate('good night', 'en_de', '[1]');
SELECT residual_translate(ARRAY['good night'], 'en_de', '{"d_model": 2}');

-- no such model
SELECT residual_translate('good night', 'en_fr');
SELECT residual_translate('good night', 'completely different');
SELECT residual_translate('good night', '');

-- n best: in order, different, with scores that residual_score confirms
SELECT rank, translation FROM residual_nbest('good night', 1);
SELECT count(*), count(DISTINCT translation), bool_and(score <= previous OR previous IS NULL) AS in_order,
       bool_and(abs(score - confirmed) < 1e-4) AS confirmed
  FROM (SELECT rank, translation, score, lag(score) OVER (ORDER BY rank) AS previous,
               residual_score('good night', translation, 'en_de', '{"normalize": true}') AS confirmed
          FROM residual_nbest('good night', 3, 'en_de', '{"beam": 6}')) answers;
SELECT en, n.translation FROM pairs, residual_nbest(en, 2) n WHERE rank = 1 AND en LIKE 'the%' ORDER BY en COLLATE "C";
SELECT * FROM residual_nbest(NULL, 2);
SELECT * FROM residual_nbest('good night', 0);
SELECT * FROM residual_nbest('good night', 65);
SELECT * FROM residual_nbest('good night', NULL);
SELECT * FROM residual_nbest('good night', 5, options => '{"beam": 4}');

-- scores: what was learned is likelier than anything else
SELECT en, bool_and(right_one > other) AS likelier
  FROM (SELECT p.en, residual_score(p.en, p.de) AS right_one, residual_score(p.en, q.de) AS other
          FROM pairs p, pairs q WHERE p.de <> q.de) scores
 GROUP BY en ORDER BY en COLLATE "C";
SELECT residual_score('good night', 'gute nacht') < 0 AS log_probability,
       abs(residual_score('good night', 'gute nacht') / residual_score('good night', 'gute nacht', 'en_de', '{"normalize": true}')
           - (cardinality(residual_tokenize('gute nacht')) + 1)) < 1e-6 AS by_tokens;
SELECT residual_score('good night', NULL), residual_score(NULL, 'gute nacht');
SELECT residual_score('good night', 'gute nacht', 'en_de', '{"normalize": "perhaps"}');
SELECT residual_score('good night', 'gute nacht', 'en_de', '{"beam": 3}');
SELECT residual_score('good night', 'gute nacht', 'en_de', '{"normal": true}');

-- embeddings
SELECT cardinality(residual_embed('good night')), residual_embed('good night') = residual_embed('good  night') AS same,
       residual_embed('good night') = residual_embed('good morning') AS other, residual_embed(NULL);

-- by parallel workers
CREATE TABLE long AS SELECT en, de FROM pairs, generate_series(1, 20);
SET parallel_setup_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT count(*) FROM long WHERE residual_translate(en, 'en_de') = de;
SELECT count(*) FROM long WHERE residual_translate(en, 'en_de') = de;
SET parallel_leader_participation = off;
SELECT count(*) FROM long WHERE residual_score(en, de, 'en_de') > -1 AND residual_translate(ARRAY[en], 'en_de') = ARRAY[de];
SELECT count(*) FROM long WHERE residual_translate(en, 'en_dd') = de;
RESET parallel_setup_cost;
RESET min_parallel_table_scan_size;
RESET max_parallel_workers_per_gather;
RESET parallel_leader_participation;
DROP TABLE long;

-- what many sessions have in common
SELECT threads > 0 AS threads, sentences_waiting, requests > 0 AS requests, sentences >= batches AS batches, mean_batch >= 1 AS mean_batch,
       largest_batch > 1 AS largest, models > 0 AS models, model_bytes <= memory_limit AS memory, started < now() AS started FROM residual_serving;
SELECT database = current_database() AS here, model, version, state, bytes > 0 AS bytes, cache_bytes > 0 AS caches, requests > 0 AS requests, errors,
       sentences > requests AS sentences, last_use < now() AS used FROM residual_serving_models WHERE model = 'en_de';

RESET residual.default_model;
SELECT residual_drop_model('en_de');
SELECT residual_translate('good night', 'en_de');
DROP TABLE pairs;
