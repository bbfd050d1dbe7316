--
-- looking inside: tensors, options, schemes, the serving engine
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
SELECT residual_train('glass', 'pairs', 'en', 'de',
    '{"layers": 1, "d_model": 16, "d_ffn": 16, "heads": 2, "max_length": 16, "threads": 1, "max_steps": 1,
      "validation": "0"}') AS job \gset
SELECT residual_wait(:job);
-- tensors
SELECT count(*) > 20 AS many, bool_and(norm >= 0) AS norms,
       sum(bytes) = (SELECT bytes FROM residual_versions WHERE model = 'glass') AS all_bytes,
       bool_and(bytes = 4 * (SELECT round(exp(sum(ln(d)))) FROM unnest(shape) d)) AS bytes_of_shape
  FROM residual_weights('glass');
SELECT tensor, shape FROM residual_weights('glass', 1) WHERE tensor LIKE 'enc.0.%' ORDER BY tensor COLLATE "C";
-- the numbers have the norm that is shown
SELECT tensor, cardinality(numbers) = bytes / 4 AS all_numbers,
       abs(sqrt((SELECT sum(x::float8 * x) FROM unnest(numbers) x)) - norm) < 1e-9 * (1 + norm) AS same_norm
  FROM (SELECT *, residual_weight('glass', tensor) AS numbers FROM residual_weights('glass') WHERE tensor LIKE 'dec.0.ca.%') t
 ORDER BY tensor COLLATE "C";
SELECT residual_weight('glass', 'enc.0.nothing');
SELECT residual_weight('glass', NULL), residual_weight('glass', 'enc.0.nothing', 2);
SELECT residual_weights('glass', 2);
SELECT residual_weights('glas');
SELECT residual_weights(NULL);

-- options: each documented, defaults valid, names unique within training and translating
SELECT section, count(*) > 0 AS some FROM residual_options GROUP BY section ORDER BY section;
SELECT name, section FROM residual_options WHERE meaning IS NULL OR meaning !~ '^[A-Z0-9].*\.$' OR default_value IS NULL OR type IS NULL;
SELECT name FROM residual_options GROUP BY name, section = 'translation' HAVING count(*) > 1;
SELECT name, default_value, minimum, maximum, choices FROM residual_options WHERE section = 'translation' ORDER BY name;

-- schemes: each with formula and paper, and options that exist
SELECT name, title FROM residual_schemes WHERE name IN ('residual', 'post', 'pre') ORDER BY name;
SELECT name FROM residual_schemes WHERE formula IS NULL OR paper IS NULL OR cost IS NULL OR parameters IS NULL;
SELECT s.name, o AS unknown FROM residual_schemes s, unnest(s.options) o WHERE o NOT IN (SELECT name FROM residual_options);

SELECT residual_drop_model('glass');
DROP TABLE pairs;
