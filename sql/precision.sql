--
-- precision: int8 products beside float32 ones
--
CREATE TABLE pairs (en text, de text);
INSERT INTO pairs VALUES
    ('the dog sees the cat', 'der hund sieht die katze'),
    ('the bird sings', 'der vogel singt'),
    ('the house is old', 'das haus ist alt'),
    ('we drink water', 'wir trinken wasser'),
    ('a green tree', 'ein grüner baum'),
    ('good night', 'gute nacht');
SELECT residual_train('whole', 'pairs', 'en', 'de',
    '{"layers": 1, "d_model": 32, "d_ffn": 64, "heads": 2, "max_length": 32, "threads": 1, "dropout": 0,
      "label_smoothing": 0, "batch_tokens": 256, "learning_rate": 0.01, "warmup_steps": 20, "max_steps": 150,
      "validation": "0"}') AS job \gset
SELECT residual_wait(:job);
SET residual.default_model = 'whole';

-- by an option
SELECT en, residual_translate(en, 'whole', '{"precision": "int8"}') FROM pairs ORDER BY en COLLATE "C";
SELECT count(*) FROM pairs WHERE residual_translate(en, 'whole', '{"precision": "int8", "beam": 1}') = de;
SELECT count(*) FROM pairs WHERE residual_translate(en, 'whole', '{"precision": "float32"}') = de;
SELECT residual_translate('good night', 'whole', '{"precision": "int4"}');

-- it is another computation: scores are near, and not the same
SELECT bool_and(abs(float32 - int8) < 0.1) AS near, bool_or(float32 <> int8) AS different
  FROM (SELECT residual_score(p.en, q.de, 'whole', '{"normalize": true}') AS float32,
               residual_score(p.en, q.de, 'whole', '{"normalize": true, "precision": "int8"}') AS int8
          FROM pairs p, pairs q WHERE p.en = q.en) scores;
SELECT bool_and(abs(score - residual_score('a green tree', translation, 'whole', '{"normalize": true, "precision": "int8"}')) < 1e-2)
       AS confirmed
  FROM residual_nbest('a green tree', 3, 'whole', '{"precision": "int8"}');

-- by the setting, which an option overrides
SET residual.precision = 'int8';
SELECT residual_translate('good night');
SELECT residual_score('good night', 'gute nacht') = residual_score('good night', 'gute nacht', 'whole', '{"precision": "int8"}') AS int8,
       residual_score('good night', 'gute nacht') = residual_score('good night', 'gute nacht', 'whole', '{"precision": "float32"}') AS float32;
SELECT cardinality(residual_embed('good night')), residual_tokenize('good night') = residual_tokenize('good  night') AS same;
SET residual.precision = 'int4';
SET residual.precision = 'bfloat16';
RESET residual.precision;
SELECT residual_score('good night', 'gute nacht') = residual_score('good night', 'gute nacht', 'whole', '{"precision": "float32"}') AS float32;

-- it does not matter who takes part in a batch
SELECT count(*) FROM (SELECT en, de, residual_translate(en, 'whole', '{"precision": "int8"}') AS by_rows FROM pairs, generate_series(1, 50)) t
 WHERE by_rows = de;
SELECT residual_translate(array_agg(en ORDER BY en), 'whole', '{"precision": "int8"}') = array_agg(de ORDER BY en) AS by_array FROM pairs;

-- what training reads is not changed by it
SET residual.precision = 'int8';
SELECT options->>'precision' AS precision FROM residual_jobs WHERE model = 'whole' ORDER BY job DESC LIMIT 1;
RESET residual.precision;

SELECT residual_drop_model('whole');
DROP TABLE pairs;
