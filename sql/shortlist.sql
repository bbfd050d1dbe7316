--
-- shortlists: made when training ends or from a table, used, switched off, part of a version
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
      "validation": "0", "shortlist": true, "shortlist_frequent": 10, "shortlist_best": 15}') AS job \gset
SELECT residual_wait(:job);
SET residual.default_model = 'en_de';
SELECT version, active, shortlist FROM residual_versions;
SELECT count(*) FROM residual_weights('en_de') WHERE tensor = 'shortlist';

-- in use unless a call says otherwise, in every precision
SELECT count(*) FROM pairs WHERE residual_translate(en) = de;
SELECT count(*) FROM pairs WHERE residual_translate(en, 'en_de', '{"shortlist": false}') = de;
SELECT count(*) FROM pairs WHERE residual_translate(en, 'en_de', '{"precision": "int8", "beam": 1}') = de;

-- another one for the same version: so strict that a text's pieces decide what can be said
SELECT residual_make_shortlist('en_de', 'pairs', 'en', 'de', '{"shortlist_frequent": 1, "shortlist_best": 1}');
CREATE TABLE answers AS
SELECT en, translation, pieces, (SELECT sum(p) FROM unnest(log_probabilities) p) AS log_probability
  FROM pairs, residual_nbest(en, 4) UNION ALL
SELECT en, translation, pieces, (SELECT sum(p) FROM unnest(log_probabilities) p)
  FROM pairs, residual_nbest(en, 3, options => '{"sampling": true, "temperature": 3, "seed": 3}');
SELECT count(*) > 40 AS many, count(DISTINCT piece) < (SELECT count(DISTINCT piece) FROM pairs, unnest(residual_tokenize(en || ' ' || de)) piece) AS fewer
  FROM answers, unnest(pieces) piece;
-- nothing is said but what it allows
SELECT bool_and(pieces <@ residual_shortlist(en)) AS within FROM answers;
SELECT cardinality(residual_shortlist('')) = 5 AS special_and_frequent, residual_shortlist('') <@ residual_shortlist('good') AS more,
       residual_tokenize('good') <@ residual_shortlist('good') AS itself, residual_shortlist(NULL) IS NULL AS none;
-- log-probabilities of answers are those among the pieces looked at, those of residual_score among all
SELECT count(*) > 0 AS some, bool_and(log_probability > residual_score(en, translation) - 0.001) AS larger,
       bool_or(log_probability > residual_score(en, translation) + 1) AS by_far
  FROM answers WHERE pieces[:cardinality(pieces) - 1] = residual_tokenize(translation);
SELECT count(*) > 10 AS some, bool_and(abs(log_probability - residual_score(en, translation)) < 0.001) AS same
  FROM (SELECT *, (SELECT sum(p) FROM unnest(log_probabilities) p) AS log_probability
          FROM pairs, residual_nbest(en, 4, options => '{"shortlist": false}')) n
 WHERE pieces[:cardinality(pieces) - 1] = residual_tokenize(translation);
-- an answer does not depend on what is translated with it
SELECT residual_translate(array_agg(en ORDER BY en), 'en_de') = array_agg(residual_translate(en, 'en_de') ORDER BY en) AS alike FROM pairs;

-- what must be said can be said
SELECT residual_translate('good night', 'en_de', '{"prefix": "das auto"}') LIKE 'das auto%' AS prefix;
SELECT residual_translate('good night', 'en_de', '{"glossary": {"night": "katze"}}') LIKE '%katze%' AS term;
SELECT residual_translate('good night {x} 12', 'en_de', '{"preserve": true}') ~ '\{x\}.*12|12.*\{x\}' AS kept;

-- evaluation uses it as translating does; loss is over all pieces
SELECT (SELECT value FROM residual_evaluate('en_de', 'pairs', 'en', 'de') WHERE metric = 'loss') =
       (SELECT value FROM residual_evaluate('en_de', 'pairs', 'en', 'de', '{"shortlist": false}') WHERE metric = 'loss') AS same_loss,
       (SELECT value FROM residual_evaluate('en_de', 'pairs', 'en', 'de') WHERE metric = 'bleu') <
       (SELECT value FROM residual_evaluate('en_de', 'pairs', 'en', 'de', '{"shortlist": false}') WHERE metric = 'bleu') AS too_strict;

-- it comes and goes with its transaction, and the checksum with it
SELECT bytes, checksum FROM residual.model_version \gset before_
BEGIN;
SELECT residual_make_shortlist('en_de', 'pairs', 'en', 'de', '{"shortlist_frequent": 20, "shortlist_best": 9, "rows": 7, "version": 1}');
SELECT bytes <> :before_bytes AS other_bytes, checksum <> :before_checksum AS other_checksum FROM residual.model_version;
SELECT residual_translate('we drink water');
SELECT residual_drop_shortlist('en_de'), residual_drop_shortlist('en_de', 1);
SELECT shortlist FROM residual_versions;
SELECT count(*) FROM pairs WHERE residual_translate(en) = de;
SELECT sum(w.bytes) = v.bytes AS bytes_of_tensors FROM residual_weights('en_de') w, residual.model_version v GROUP BY v.bytes;
ROLLBACK;
SELECT bytes = :before_bytes AS bytes, checksum = :before_checksum AS checksum FROM residual.model_version;
SELECT shortlist FROM residual_versions;
-- the same pairs give the same
SELECT residual_make_shortlist('en_de', 'pairs', 'en', 'de', '{"shortlist_frequent": 1, "shortlist_best": 1}');
SELECT bytes = :before_bytes AS bytes, checksum = :before_checksum AS checksum FROM residual.model_version;

-- what goes on from a version makes its own, or none
SELECT residual_train('en_de', 'pairs', 'en', 'de',
    '{"from": "active", "max_steps": 1, "threads": 1, "validation": "0", "activate": false}') AS job \gset
SELECT residual_wait(:job);
SELECT version, shortlist FROM residual_versions ORDER BY version;
SELECT residual_drop_shortlist('en_de', 2);

-- rows that are left out, and rights
CREATE TABLE more (en text, de text);
INSERT INTO more VALUES ('good', NULL), ('', 'gut'), ('good night', 'gute nacht'),
    (repeat('good ', 100), 'gut');
SELECT residual_make_shortlist('en_de', 'more', 'en', 'de', '{"version": 2}');
SELECT version, shortlist FROM residual_versions ORDER BY version;
-- more rows than lie in memory, at most so many
SET work_mem = '64kB';
CREATE TABLE many AS SELECT en, de FROM pairs, generate_series(1, 1000);
SELECT residual_make_shortlist('en_de', 'many', 'en', 'de', '{"version": 2}');
SELECT residual_make_shortlist('en_de', 'many', 'en', 'de', '{"version": 2, "rows": 5432}');
RESET work_mem;
DROP TABLE many;
CREATE ROLE regress_residual_reader;
SELECT residual_grant('en_de', 'regress_residual_reader');
GRANT SELECT ON pairs TO regress_residual_reader;
SET ROLE regress_residual_reader;
SELECT residual_translate('good night') <> '' AS may_use;
SELECT residual_make_shortlist('en_de', 'pairs', 'en', 'de');
SELECT residual_drop_shortlist('en_de');
RESET ROLE;
SELECT residual_revoke('en_de', 'regress_residual_reader');

-- errors
SELECT residual_make_shortlist('de_en', 'pairs', 'en', 'de');
SELECT residual_make_shortlist('en_de', 'pairs', 'en', 'fr');
SELECT residual_make_shortlist('en_de', 'pairs', 'en', 'de', '{"version": 7}');
SELECT residual_make_shortlist('en_de', 'pairs', 'en', 'de', '{"shortlist_bets": 7}');
SELECT residual_make_shortlist('en_de', 'pairs', 'en', 'de', '{"beam": 7}');
SELECT residual_make_shortlist('en_de', 'pairs', 'en', 'de', '{"shortlist_best": 0}');
SELECT residual_make_shortlist('en_de', 'pairs', 'en', 'de', '{"rows": "many"}');
SELECT residual_make_shortlist('en_de', 'pairs', 'en', 'de', '[]');
SELECT residual_make_shortlist('en_de', 'pairs', NULL, 'de');
SELECT residual_drop_shortlist(NULL);
SELECT residual_drop_shortlist('en_de', 0);
BEGIN;
SELECT residual_drop_shortlist('en_de');
SELECT residual_shortlist('good night');
ROLLBACK;
SELECT residual_translate('good night', 'en_de', '{"shortlist": "some"}');
DELETE FROM more WHERE de = 'gute nacht';
SELECT residual_make_shortlist('en_de', 'more', 'en', 'de');
DELETE FROM more;
SELECT residual_make_shortlist('en_de', 'more', 'en', 'de');
BEGIN READ ONLY;
SELECT residual_make_shortlist('en_de', 'pairs', 'en', 'de');
ROLLBACK;
BEGIN READ ONLY;
SELECT residual_drop_shortlist('en_de');
ROLLBACK;

-- a damaged one is told, and does no harm
BEGIN;
UPDATE residual.weight SET bytes = set_byte(bytes, 70, 1 + get_byte(bytes, 70) % 255) WHERE tensor = 'shortlist' AND version = 1;
UPDATE residual.model_version SET checksum = checksum + 1 WHERE version = 1;  -- so that the engine has not got it
SELECT residual_translate('good night');
ROLLBACK;
BEGIN;
DELETE FROM residual.weight WHERE tensor = 'shortlist' AND version = 1;
UPDATE residual.model_version SET checksum = checksum + 1 WHERE version = 1;
SELECT residual_translate('good night');
ROLLBACK;
SELECT residual_translate('good night') <> '' AS well;

SELECT residual_drop_model('en_de');
SELECT count(*) FROM residual.weight;
DROP TABLE pairs, more, answers;
DROP ROLE regress_residual_reader;
