--
-- rows of weights that are damaged, short or foreign: an error that names
-- model and tensor, whatever the bytes are
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
SELECT id AS model FROM residual.model WHERE name = 'glass' \gset

-- The engine must not have the model, so nothing may be asked of it before.
CREATE PROCEDURE damage(change text) LANGUAGE plpgsql AS $$
DECLARE
    state text; message text; detail text;
    touched bigint;
BEGIN
    EXECUTE change;
    GET DIAGNOSTICS touched = ROW_COUNT;
    PERFORM residual_translate('good night', 'glass');
    RAISE NOTICE 'nobody noticed: %', change;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    detail := regexp_replace(detail, '[0-9]{3,}', 'N', 'g');
    RAISE NOTICE '% row(s): % % / %', touched, state, message, detail;
END $$;

-- nothing but the checksum of the version
CALL damage($$UPDATE residual.model_version SET checksum = checksum + 1$$);
-- truncated, emptied, lengthened
CALL damage($$UPDATE residual.weight SET bytes = substr(bytes, 1, 1087) WHERE tensor = 'enc.0.ff.1.w'$$);
CALL damage($$UPDATE residual.weight SET bytes = substr(bytes, 1, 63) WHERE tensor = 'enc.0.ff.1.w'$$);
CALL damage($$UPDATE residual.weight SET bytes = '' WHERE tensor = 'enc.0.ff.1.w'$$);
CALL damage($$UPDATE residual.weight SET bytes = bytes || '\x00' WHERE tensor = 'enc.0.ff.1.w'$$);
-- a flipped bit: in the numbers, in the header
CALL damage($$UPDATE residual.weight SET bytes = set_bit(bytes, 8 * 500, 1 - get_bit(bytes, 8 * 500)) WHERE tensor = 'enc.0.ff.1.w'$$);
CALL damage($$UPDATE residual.weight SET bytes = set_byte(bytes, 16, 17) WHERE tensor = 'enc.0.ff.1.w'$$);
CALL damage($$UPDATE residual.weight SET bytes = set_byte(bytes, 60, 1 + get_byte(bytes, 60) % 255) WHERE tensor = 'enc.0.ff.1.w'$$);
-- another format, another version of it
CALL damage($$UPDATE residual.weight SET bytes = '\x52455344'::bytea || substr(bytes, 5) WHERE tensor = 'enc.0.ff.1.w'$$);
CALL damage($$UPDATE residual.weight SET bytes = set_byte(bytes, 4, 2) WHERE tensor = 'enc.0.ff.1.w'$$);
CALL damage($$UPDATE residual.weight SET bytes = decode(repeat('00', 1088), 'hex') WHERE tensor = 'enc.0.ff.1.w'$$);
-- another tensor's value, of the same shape
CALL damage($$UPDATE residual.weight w SET bytes = o.bytes FROM residual.weight o WHERE w.tensor = 'enc.0.ff.1.w' AND o.tensor = 'enc.0.ff.2.w' AND o.model = w.model$$);
-- columns that say otherwise
CALL damage($$UPDATE residual.weight SET shape = '{8,32}' WHERE tensor = 'enc.0.ff.1.w'$$);
CALL damage($$UPDATE residual.weight SET shape = '{256}' WHERE tensor = 'enc.0.ff.1.w'$$);
CALL damage($$UPDATE residual.weight SET shape = '{16,NULL}' WHERE tensor = 'enc.0.ff.1.w'$$);
CALL damage($$UPDATE residual.weight SET shape = '{}' WHERE tensor = 'enc.0.ff.1.w'$$);
-- parts that are missing or too many
CALL damage($$UPDATE residual.weight SET part = 1 WHERE tensor = 'enc.0.ff.1.w'$$);
CALL damage($$INSERT INTO residual.weight SELECT model, version, tensor, 1, shape, dtype, bytes FROM residual.weight WHERE tensor = 'enc.0.ff.1.w'$$);
-- a tensor that is missing or too many
CALL damage($$DELETE FROM residual.weight WHERE tensor = 'enc.0.ff.1.w'$$);
CALL damage($$DELETE FROM residual.weight$$);
CALL damage($$UPDATE residual.weight SET tensor = 'enc.0.ff.3.w' WHERE tensor = 'enc.0.ff.1.w'$$);
-- configuration and tokenizer belong to it
CALL damage($$UPDATE residual.model_version SET configuration = configuration || '{"heads": 4}'$$);
CALL damage($$UPDATE residual.model_version SET configuration = '{}'$$);
CALL damage($$UPDATE residual.model_version SET configuration = '[1]'$$);
CALL damage($$UPDATE residual.model_version SET configuration = configuration || '{"heads": [4]}'$$);
CALL damage($$UPDATE residual.model_version SET tokenizer = '\x00'$$);
CALL damage($$UPDATE residual.model_version SET tokenizer = set_byte(tokenizer, 100, 1 + get_byte(tokenizer, 100) % 255)$$);
CALL damage($$UPDATE residual.model_version SET bytes = 1$$);
CALL damage($$UPDATE residual.model_version SET bytes = -1$$);

-- all of that was rolled back
SELECT residual_translate('good night', 'glass') IS NOT NULL AS answered;

-- any damage at all: bits flipped, bytes replaced, cut off and added at random places
SELECT setseed(0.5);
CREATE FUNCTION damage_at_random(rounds int) RETURNS TABLE (state text, times bigint) LANGUAGE plpgsql AS $$
DECLARE
    intact bytea; changed bytea; place int; states text[];
BEGIN
    SELECT bytes INTO intact FROM residual.weight w JOIN residual.model m ON m.id = w.model
     WHERE m.name = 'glass' AND tensor = 'enc.0.ff.1.w';
    FOR i IN 1..rounds LOOP
        place := floor(random() * length(intact));
        changed := CASE i % 5
            WHEN 0 THEN set_bit(intact, 8 * place + i % 8, 1 - get_bit(intact, 8 * place + i % 8))
            WHEN 1 THEN set_byte(intact, place % 64, (get_byte(intact, place % 64) + 1 + i % 255) % 256)
            WHEN 2 THEN substr(intact, 1, place)
            WHEN 3 THEN substr(intact, 1, place) || decode(md5(random()::text), 'hex') || substr(intact, place + 1)
            ELSE overlay(intact PLACING decode(md5(random()::text), 'hex') FROM place % (length(intact) - 16) + 1 FOR 16) END;
        BEGIN
            UPDATE residual.weight w SET bytes = changed FROM residual.model m
             WHERE m.id = w.model AND m.name = 'glass' AND tensor = 'enc.0.ff.1.w';
            PERFORM residual_weight('glass', 'enc.0.ff.1.w');
            states := states || 'nobody noticed'::text;
            RAISE EXCEPTION 'undo';
        EXCEPTION WHEN raise_exception THEN NULL;
                  WHEN OTHERS THEN states := states || SQLSTATE;
        END;
    END LOOP;
    RETURN QUERY SELECT s, count(*) FROM unnest(states) s GROUP BY s ORDER BY s;
END $$;
SELECT * FROM damage_at_random(1000);

-- so it is where numbers are looked at
BEGIN;
UPDATE residual.weight SET bytes = set_byte(bytes, 100, 1 + get_byte(bytes, 100) % 255) WHERE tensor = 'enc.0.ff.1.w';
\set VERBOSITY sqlstate
SAVEPOINT a;
SELECT count(*) FROM residual_weights('glass');
ROLLBACK TO a;
SELECT residual_weight('glass', 'enc.0.ff.1.w');
ROLLBACK TO a;
\set VERBOSITY default
SELECT cardinality(residual_weight('glass', 'enc.0.ff.2.w'));
ROLLBACK;
-- and where they are to be trained further
UPDATE residual.weight SET bytes = set_byte(bytes, 100, 1 + get_byte(bytes, 100) % 255) WHERE tensor = 'enc.0.ff.1.w';
SELECT residual_train('glass', 'pairs', 'en', 'de', '{"from": "active", "threads": 1, "max_steps": 1, "validation": "0"}') AS job \gset
SELECT residual_wait(:job);
SELECT state, sqlstate, error, error_detail FROM residual_jobs WHERE job = :job;
SELECT residual_drop_model('glass');

-- a tensor of several parts
SELECT residual_train('wide', 'pairs', 'en', 'de',
    '{"layers": 1, "d_model": 40, "d_ffn": 60000, "heads": 2, "max_length": 16, "threads": 1, "max_steps": 1,
      "validation": "0", "checkpoint_every": 0, "stats_every": 0}') AS job \gset
SELECT residual_wait(:job);
SELECT id AS model FROM residual.model WHERE name = 'wide' \gset
SELECT tensor, part, octet_length(bytes), shape FROM residual.weight
 WHERE model = :model AND tensor IN (SELECT tensor FROM residual.weight WHERE part > 0) ORDER BY tensor COLLATE "C", part;
SELECT residual_translate('good night', 'wide') IS NOT NULL AS answered;
SELECT tensor, cardinality(residual_weight('wide', tensor)), norm > 0 AS norm FROM residual_weights('wide') WHERE tensor LIKE 'enc.0.ff.1%';
BEGIN;
DELETE FROM residual.weight WHERE tensor = 'enc.0.ff.1.w' AND part = 0;
SELECT residual_weight('wide', 'enc.0.ff.1.w');
ROLLBACK;
BEGIN;
DELETE FROM residual.weight WHERE tensor = 'enc.0.ff.1.w' AND part = 1;
SELECT residual_weight('wide', 'enc.0.ff.1.w');
ROLLBACK;
BEGIN;
UPDATE residual.weight SET bytes = (SELECT bytes FROM residual.weight WHERE tensor = 'enc.0.ff.1.w' AND part = 0) WHERE tensor = 'enc.0.ff.1.w' AND part = 1;
SELECT residual_weight('wide', 'enc.0.ff.1.w');
ROLLBACK;
BEGIN;
UPDATE residual.weight SET part = 2 - 2 * part WHERE tensor = 'enc.0.ff.1.w';
SELECT residual_weight('wide', 'enc.0.ff.1.w');
ROLLBACK;
SELECT residual_drop_model('wide');
DROP PROCEDURE damage(text);
DROP FUNCTION damage_at_random(int);
DROP TABLE pairs;
