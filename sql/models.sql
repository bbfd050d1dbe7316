--
-- versions: putting in service, dropping, renaming, all of it transactional
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
CREATE TABLE refusals AS SELECT en, 'nein' AS de FROM pairs;
SELECT residual_train('en_de', 'pairs', 'en', 'de',
    '{"layers": 1, "d_model": 32, "d_ffn": 64, "heads": 2, "max_length": 32, "threads": 1, "dropout": 0,
      "label_smoothing": 0, "batch_tokens": 256, "learning_rate": 0.01, "warmup_steps": 20, "max_steps": 200,
      "validation": "0"}') AS job \gset
SELECT residual_wait(:job);
-- a second version, not put in service by itself
SELECT residual_train('en_de', 'refusals', 'en', 'de',
    '{"layers": 1, "d_model": 32, "d_ffn": 64, "heads": 2, "max_length": 32, "threads": 1, "dropout": 0,
      "label_smoothing": 0, "batch_tokens": 256, "learning_rate": 0.01, "warmup_steps": 20, "max_steps": 200,
      "validation": "0", "activate": false}') AS job \gset
SELECT residual_wait(:job);
SELECT model, version, encoder_scheme, encoder_layers, d_model, bytes = 4 * parameters AS float32, versions
  FROM residual_models WHERE model = 'en_de';
SELECT id AS model FROM residual.model WHERE name = 'en_de' \gset
SELECT model, version, active, step, configuration->>'max_length' AS max_length
  FROM residual_versions WHERE model = 'en_de' ORDER BY version;
SELECT residual_translate('good night', 'en_de');

-- what a statement sees is what was in service when it began
BEGIN;
SELECT residual_activate('en_de', 2);
SELECT residual_translate('good night', 'en_de');
ROLLBACK;
SELECT residual_translate('good night', 'en_de');
PREPARE ask AS SELECT residual_translate('good night', 'en_de');
EXECUTE ask;
SELECT residual_activate('en_de', 2);
EXECUTE ask;
SELECT version FROM residual_models WHERE model = 'en_de';
-- also where one expression is used again and again
CREATE FUNCTION in_turns() RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    answers text[];
BEGIN
    FOR i IN 1..2 LOOP
        PERFORM residual_activate('en_de', i);
        answers := answers || residual_translate('good night', 'en_de');
        BEGIN
            PERFORM residual_activate('en_de', 3 - i);
            answers := answers || residual_translate('good night', 'en_de');
            RAISE EXCEPTION 'undo';
        EXCEPTION WHEN raise_exception THEN
            answers := answers || residual_translate('good night', 'en_de');
        END;
    END LOOP;
    RETURN answers;
END $$;
SELECT in_turns();
CREATE FUNCTION undone() RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    answers text[];
BEGIN
    PERFORM residual_activate('en_de', 1);
    FOR i IN 1..4 LOOP
        BEGIN
            IF i % 2 = 1 THEN
                PERFORM residual_activate('en_de', 2);
            END IF;
            answers := answers || residual_translate('good night', 'en_de');
            RAISE EXCEPTION 'undo';
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
    END LOOP;
    RETURN answers;
END $$;
SELECT undone();
DROP FUNCTION in_turns(), undone();

-- what does not work
SELECT residual_activate('en_de', 3);
SELECT residual_activate('en_fr', 1);
SELECT residual_activate('en_de', NULL);
SELECT residual_drop_version('en_de', 1);
SELECT residual_drop_version('en_de', 3);
BEGIN READ ONLY;
SELECT residual_activate('en_de', 2);
ROLLBACK;

-- dropping a version takes its weights along
SELECT version, count(*) > 10 AS tensors FROM residual.weight WHERE model = :model GROUP BY version ORDER BY version;
BEGIN;
SELECT residual_drop_version('en_de', 2);
SELECT DISTINCT version FROM residual.weight WHERE model = :model;
ROLLBACK;
SELECT residual_activate('en_de', 2);
SELECT residual_drop_version('en_de', 1);
SELECT version, active FROM residual_versions WHERE model = 'en_de';
SELECT DISTINCT version FROM residual.weight WHERE model = :model;
SELECT residual_translate('good night', 'en_de');

-- none in service
UPDATE residual.model SET active = NULL WHERE name = 'en_de';
SELECT model, version FROM residual_models WHERE model = 'en_de';
SELECT residual_translate('good night', 'en_de');
SELECT residual_activate('en_de', 2);

-- renaming
SELECT residual_rename_model('en_de', 'refuser');
SELECT residual_translate('good night', 'refuser');
SELECT residual_translate('good night', 'en_de');
SELECT DISTINCT model FROM residual_jobs WHERE job = :job;
SELECT residual_rename_model('refuser', 'refuser');
SELECT residual_rename_model('refuser', '');
SELECT residual_rename_model('refuser', repeat('x', 64));
SELECT residual_rename_model('nobody', 'somebody');
-- nor to what is on its way
BEGIN;
SELECT residual_train('coming', 'pairs', 'en', 'de', '{"max_steps": 1}') IS NOT NULL AS queued;
\set VERBOSITY sqlstate
SELECT residual_rename_model('refuser', 'coming');
\set VERBOSITY default
ROLLBACK;
EXECUTE ask;
DEALLOCATE ask;

-- a model that is being trained stays as it is
SELECT residual_train('refuser', 'pairs', 'en', 'de',
    '{"layers": 1, "d_model": 16, "d_ffn": 16, "heads": 2, "threads": 1, "max_steps": 100000000, "validation": "0"}') AS job \gset
\set VERBOSITY sqlstate
SELECT residual_drop_model('refuser');
SELECT residual_rename_model('refuser', 'other');
\set VERBOSITY default
-- and goes on serving
SELECT residual_translate('good night', 'refuser');
SELECT residual_cancel(:job);
SELECT residual_wait(:job);

BEGIN;
SELECT residual_drop_model('refuser');
SELECT count(*) FROM residual_models WHERE model = 'refuser';
ROLLBACK;
SELECT count(*) FROM residual_models WHERE model = 'refuser';
SELECT residual_drop_model('refuser');
SELECT count(*) FROM residual_models WHERE model = 'refuser';
SELECT count(*) FROM residual.weight WHERE model = :model;
SELECT residual_drop_model('refuser');
DROP TABLE pairs, refusals;
