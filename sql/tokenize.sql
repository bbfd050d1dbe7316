--
-- the pieces of a text, and back
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
SELECT residual_train('pieces', 'pairs', 'en', 'de',
    '{"layers": 1, "d_model": 16, "d_ffn": 16, "heads": 2, "max_length": 16, "threads": 1,
      "max_steps": 1, "validation": "0"}') AS job \gset
SELECT residual_wait(:job);

-- there and back
SELECT text, residual_detokenize(residual_tokenize(text, 'pieces'), 'pieces') = text AS same
  FROM unnest(ARRAY['good morning', 'the bird sings', 'ein grüner baum', 'a', '']) text;

-- white space becomes part of pieces, and is normalised
SELECT residual_tokenize('', 'pieces'), residual_tokenize('   ', 'pieces'),
       residual_tokenize(E'good \t  night\n', 'pieces') = residual_tokenize('good night', 'pieces') AS same;
SELECT string_agg(piece, '' ORDER BY n) FROM unnest(residual_tokenize('good night', 'pieces')) WITH ORDINALITY p(piece, n);

-- what the pieces do not have is one piece, not an error
SELECT residual_detokenize(residual_tokenize('good 😀 night', 'pieces'), 'pieces') LIKE 'good%night' AS around_it;
SELECT cardinality(residual_tokenize(E'\x01\x02\u200b\ufeff﷽', 'pieces')) >= 0 AS survived;
-- a long text has all its pieces
SELECT cardinality(residual_tokenize(repeat('good night ', 1000), 'pieces')) >= 2000 AS long;

SELECT cardinality(residual_tokenize(repeat('good night ', 100000), 'pieces')) >= 100000 AS longer;
SELECT residual_tokenize(NULL, 'pieces'), residual_detokenize(NULL, 'pieces'), residual_detokenize('{}', 'pieces');
SELECT residual_detokenize('{a,NULL}', 'pieces');
SELECT residual_detokenize(ARRAY['no piece at all', 'a'], 'pieces');
SELECT residual_tokenize('good night');
SELECT residual_tokenize('good night', 'piece');
SET residual.default_model = 'pieces';
SELECT residual_detokenize(residual_tokenize('good night'));

SELECT residual_drop_model('pieces');
DROP TABLE pairs;
