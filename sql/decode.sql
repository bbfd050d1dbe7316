--
-- decoding: sampling, prefix, alternatives, glossary, placeholders, scores of pieces, alignment
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
SELECT residual_wait(:job);
SET residual.default_model = 'en_de';

-- sampling: cold it is greedy, repeatable by its seed, whatever is translated with it
SELECT count(*) FROM pairs WHERE residual_translate(en, 'en_de', '{"sampling": true, "temperature": 0.001}') = de;
SELECT count(*) FROM pairs WHERE residual_translate(en, 'en_de', '{"sampling": true, "top_k": 1, "temperature": 9}') = de;
CREATE TABLE drawn AS
SELECT en, residual_translate(en, 'en_de', '{"sampling": true, "temperature": 2, "seed": 5}') AS de FROM pairs;
SELECT count(*) FROM drawn WHERE residual_translate(en, 'en_de', '{"sampling": true, "temperature": 2, "seed": 5}') = de;
SELECT residual_translate(array_agg(en ORDER BY en), 'en_de', '{"sampling": true, "temperature": 2, "seed": 5}') =
       array_agg(de ORDER BY en) AS together FROM drawn;
SELECT count(*) > 5 AS another_seed FROM drawn
 WHERE residual_translate(en, 'en_de', '{"sampling": true, "temperature": 2, "seed": 6}') <> de;
SELECT count(*), count(DISTINCT translation) > 3 AS different, bool_and(score <= previous OR previous IS NULL) AS in_order
  FROM (SELECT *, lag(score) OVER (ORDER BY rank) AS previous
          FROM residual_nbest('good night', 20, options => '{"sampling": true, "temperature": 3}')) answers;
DROP TABLE drawn;

-- a prefix, whatever it is
SELECT residual_translate('the house is old', 'en_de', '{"prefix": "das haus"}');
SELECT en, residual_translate(en, 'en_de', '{"prefix": "Was € 5 "}') LIKE 'Was € 5%' AS begins FROM pairs WHERE en LIKE 'g%' ORDER BY en;
SELECT residual_translate('good night', 'en_de', '{"prefix": " "}');
SELECT bool_and(translation LIKE 'das%') FROM residual_nbest('good night', 4, options => '{"prefix": "das"}');
SELECT residual_translate('', 'en_de', '{"prefix": "das"}') = '' AS empty;

-- alternatives: each begins differently behind the prefix
SELECT count(*), count(DISTINCT pieces[1]) FROM residual_nbest('good night', 6, options => '{"alternatives": true}');
SELECT count(*), bool_and(pieces[:n] = residual_tokenize('die')) AS prefix, count(DISTINCT pieces[n + 1]) AS behind
  FROM residual_nbest('good night', 3, options => '{"alternatives": true, "beam": 1, "prefix": "die"}'),
       cardinality(residual_tokenize('die')) n;
SELECT translation FROM residual_nbest('the bird sings', 3, options => '{"alternatives": true}') WHERE rank = 1;

-- lengths
SELECT bool_and(cardinality(pieces) > 12) AS long_enough FROM residual_nbest('good night', 4, options => '{"min_length": 12}');
SELECT bool_and(cardinality(pieces) = 13) AS exact FROM residual_nbest('good night', 4, options => '{"min_length": 12, "max_length": 12}');

-- a glossary: object or array of pairs; words only; wherever the term appears, in every answer
SELECT residual_translate('the house is old', 'en_de', '{"glossary": {"house": "haus"}}');
SELECT en, residual_translate(en, 'en_de', '{"glossary": {"dog": "Köter", "bird": "piep matz"}}') ~ '\m(Köter|piep matz)\M' AS has_term
  FROM pairs WHERE en LIKE 'the%' ORDER BY en;
SELECT bool_and(translation ~ '\mÆsir\M') AS everywhere
  FROM residual_nbest('the bird sings', 4, options => '{"glossary": [["bird sings", "Æsir"], ["bird", "vogel"]]}');
SELECT residual_translate('good night', 'en_de', '{"glossary": {"goo": "x", "nights": "y", "night good": "z"}}');
SELECT residual_translate('good night', 'en_de', '{"glossary": {}}');
SELECT count(*) FROM unnest(residual_translate(ARRAY['the dog sees the cat', 'good night', 'the bird sings'], 'en_de',
    '{"glossary": {"dog": "Köter"}, "beam": 1}')) WITH ORDINALITY t(translation, n)
 WHERE (translation LIKE '%Köter%') = (n = 1);
SELECT residual_translate('the house is old', 'en_de', '{"glossary": {"old": "neu"}, "prefix": "das"}') ~ '^das\M.*\mneu\M' AS both;
-- terms as they are written, or in large and small letters; their translations always as they are
SELECT text, residual_translate(text, 'en_de', '{"glossary": {"house": "HaUs", "äpfel": "Äpfel", "ĳs": "Eis", "Straße": "Weg"}}') ~ '\m(HaUs|Äpfel|Eis|Weg)\M' AS alike,
       residual_translate(text, 'en_de', '{"glossary": {"house": "HaUs", "äpfel": "Äpfel", "ĳs": "Eis", "Straße": "Weg"}, "glossary_ignore_case": true}')
           ~ '\m(HaUs|Äpfel|Eis|Weg)\M' AS ignoring
  FROM unnest(ARRAY['the house is old', 'The HOUSE is old', 'the Houses', 'ÄPFEL', 'ĲS', 'STRAẞE', 'STRASSE']) text;
SELECT residual_translate('the DOG sees', 'en_de', '{"glossary": [["Dog", "Erster"], ["dog", "Zweiter"], ["dog sees", "Dritter"]], "glossary_ignore_case": true}') ~ 'Dritter' AS longest;

-- placeholders, addresses and numbers
SELECT text, kept, (length(translation) - length(replace(translation, kept, ''))) / length(kept) AS times
  FROM (VALUES ('good night %s and %s', '%s'), ('{name} sees the cat', '{name}'), ('the house is 1,000.50 old', '1,000.50'),
               ('good night %1$d%%', '%1$d'), ('see http://a.org/b?c=%20.', 'http://a.org/b?c=%20'),
               ('the dog (42) sees 42', '42'), ('water: a.b@example.org', 'a.b@example.org')) v(text, kept),
       LATERAL residual_translate(text, 'en_de', '{"preserve": true}') translation;
SELECT count(*) FROM pairs WHERE residual_translate(en, 'en_de', '{"preserve": true}') = de;
SELECT bool_and(translation ~ '\mKöter\M' AND translation LIKE '%{0}%') AS both
  FROM residual_nbest('the dog sees {0}', 3, options => '{"preserve": true, "glossary": {"dog": "Köter"}}');

-- pieces: what they are, how probable; they add up
SELECT bool_and(abs((SELECT sum(p) FROM unnest(log_probabilities) p) / cardinality(pieces) - score) < 1e-4) AS add_up,
       bool_and(residual_detokenize(pieces) = translation) AS pieces, bool_and(pieces[cardinality(pieces)] = '</s>') AS ends
  FROM residual_nbest('good night', 4);
SELECT abs(sum(log_probability) - residual_score('good night', 'gute nacht')) < 1e-4 AS add_up,
       count(*) = cardinality(residual_tokenize('gute nacht')) + 1 AS pieces, max(piece) FILTER (WHERE position = 1) LIKE '▁%' AS first
  FROM residual_token_scores('good night', 'gute nacht');
SELECT count(*) FROM residual_token_scores(NULL, 'gute nacht');
SELECT piece, log_probability < -1 AS unlikely FROM residual_token_scores('good night', '');

-- alignment: what a piece looks at adds up to 1
SELECT count(*) = cardinality(residual_tokenize('der vogel singt')) + 1 AS all_there, bool_and(abs(total - 1) < 1e-4) AS add_up,
       bool_and(pieces = cardinality(residual_tokenize('the bird sings')) + 1) AS pieces
  FROM (SELECT target_position, sum(weight) AS total, count(*) AS pieces
          FROM residual_alignment('the bird sings', 'der vogel singt') GROUP BY target_position) a;
SELECT source_piece, count(*) > 0 AS there FROM residual_alignment('the bird sings', 'gute nacht')
 WHERE source_piece = '</s>' GROUP BY source_piece;
SELECT count(*) FROM residual_alignment('good night', NULL);
SELECT count(*) FROM residual_alignment('good night', 'gute nacht', 'en_fr');
SELECT count(*) FROM residual_alignment('good night', repeat('gute nacht ', 100));

-- what is wrong
SELECT residual_translate('good night', 'en_de', '{"sampling": "perhaps"}');
SELECT residual_translate('good night', 'en_de', '{"sampling": true, "beam": 4}');
SELECT residual_translate('good night', 'en_de', '{"sampling": true, "preserve": true}');
SELECT residual_translate('good night', 'en_de', '{"sampling": true, "glossary": {"a": "b"}}');
SELECT residual_translate('good night', 'en_de', '{"sampling": true, "alternatives": true}');
SELECT residual_translate('good night', 'en_de', '{"seed": 5}');
SELECT residual_translate('good night', 'en_de', '{"sampling": true, "temperature": 0}');
SELECT residual_translate('good night', 'en_de', '{"sampling": true, "top_k": 1001}');
SELECT residual_translate('good night', 'en_de', '{"sampling": true, "seed": -1}');
SELECT residual_translate('good night', 'en_de', '{"min_length": 9, "max_length": 8}');
SELECT residual_translate('good night', 'en_de', '{"prefix": 5}');
SELECT residual_translate('good night', 'en_de', '{"prefix": "wir trinken wasser wir trinken wasser", "max_length": 3}') IS NULL;
SELECT residual_translate('good night', 'en_de', jsonb_build_object('prefix', repeat('wir trinken wasser ', 50))) IS NULL;
SELECT residual_translate('good night', 'en_de', '{"glossary": "dog"}');
SELECT residual_translate('good night', 'en_de', '{"glossary": {"dog": 5}}');
SELECT residual_translate('good night', 'en_de', '{"glossary": {"dog": " "}}');
SELECT residual_translate('good night', 'en_de', '{"glossary": {"": "hund"}}');
SELECT residual_translate('good night', 'en_de', '{"glossary": [["dog"]]}');
SELECT residual_translate('good night', 'en_de', '{"glossary": {"dog": {"en": "hund"}}}');
SELECT residual_translate('good night', 'en_de', '{"glossary_ignore_case": "perhaps"}');
SELECT residual_translate('good night', 'en_de', '{"glosary": {"dog": "hund"}}');
SELECT residual_translate('good night', 'en_de', '{"preserve": "numbers"}');
SELECT residual_translate('good night', 'en_de', '{"token_scores": true}');
SELECT * FROM residual_nbest('good night', 20, options => '{"alternatives": true, "beam": 4}');
SELECT residual_score('good night', 'gute nacht', 'en_de', '{"prefix": "gute"}');

RESET residual.default_model;
SELECT residual_drop_model('en_de');
DROP TABLE pairs;
