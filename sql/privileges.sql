--
-- who may do what with a model
--
CREATE ROLE rt_owner LOGIN;
CREATE ROLE rt_member LOGIN IN ROLE rt_owner;
CREATE ROLE rt_apart LOGIN NOINHERIT IN ROLE rt_owner;
CREATE ROLE rt_user LOGIN;
CREATE ROLE rt_group;
CREATE ROLE rt_grouped LOGIN IN ROLE rt_group;
CREATE ROLE rt_other LOGIN;
GRANT CREATE, USAGE ON SCHEMA public TO rt_owner;
GRANT EXECUTE ON FUNCTION residual_train(text, regclass, name, name, jsonb) TO rt_owner, rt_other;

-- what a role may do with the model "heart", as a row of yes and no
CREATE FUNCTION may(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE what;
    RAISE EXCEPTION USING ERRCODE = 'ZZ000';
EXCEPTION
    WHEN insufficient_privilege THEN RETURN '-';
    WHEN undefined_object THEN RETURN '?';
    WHEN SQLSTATE 'ZZ000' THEN RETURN 'x';
END $$;
CREATE VIEW rights WITH (security_invoker = on) AS
SELECT may('SELECT residual_translate(''good night'', ''heart'')') AS translate,
       may('SELECT residual_nbest(''good night'', 2, ''heart'')') AS nbest,
       may('SELECT residual_score(''good night'', ''gute nacht'', ''heart'')') AS score,
       may('SELECT residual_embed(''good night'', ''heart'')') AS embed,
       may('SELECT residual_tokenize(''good night'', ''heart'')') AS tokenize,
       may('SELECT residual_weights(''heart'')') AS weights,
       may('SELECT residual_activate(''heart'', 1)') AS activate,
       may('SELECT residual_rename_model(''heart'', ''soul'')') AS rename,
       may('SELECT residual_drop_version(''heart'', 1)') AS drop_version,
       may('SELECT residual_drop_model(''heart'')') AS drop_model,
       may('SELECT residual_grant(''heart'', ''rt_other'')') AS grant,
       may('SELECT residual_revoke(''heart'', ''rt_user'')') AS revoke,
       (SELECT count(*) FROM residual_models WHERE model = 'heart') AS seen;
GRANT SELECT ON rights TO PUBLIC;

SET SESSION AUTHORIZATION rt_owner;
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
SELECT residual_train('heart', 'pairs', 'en', 'de',
    '{"layers": 1, "d_model": 16, "d_ffn": 16, "heads": 2, "max_length": 16, "threads": 1, "max_steps": 1,
      "validation": "0"}') AS job \gset
SELECT residual_wait(:job);
SELECT residual_train('heart', 'pairs', 'en', 'de',
    '{"layers": 1, "d_model": 16, "d_ffn": 16, "heads": 2, "max_length": 16, "threads": 1, "max_steps": 1,
      "validation": "0"}') AS job \gset
SELECT residual_wait(:job);
SELECT model, owner, versions FROM residual_models WHERE model = 'heart';
TABLE rights;

-- a member has the owner's rights, but only one that inherits them
SET SESSION AUTHORIZATION rt_member;
TABLE rights;
SET SESSION AUTHORIZATION rt_apart;
TABLE rights;
SET ROLE rt_owner;
TABLE rights;
RESET ROLE;

-- others have none
SET SESSION AUTHORIZATION rt_user;
TABLE rights;
SELECT residual_translate('good night', 'heart');
SELECT residual_activate('heart', 1);
-- and are not told names by a hint
SELECT residual_translate('good night', 'hart');
SELECT count(*) FROM residual_versions WHERE model = 'heart';

-- until they are granted the use
SET SESSION AUTHORIZATION rt_owner;
SELECT residual_grant('heart', 'rt_user'), residual_grant('heart', 'rt_user'), residual_grant('heart', 'rt_group');
SET SESSION AUTHORIZATION rt_user;
TABLE rights;
SELECT residual_translate('good night', 'hart');
SET SESSION AUTHORIZATION rt_grouped;
TABLE rights;
SET SESSION AUTHORIZATION rt_other;
TABLE rights;

-- a statement after the revocation sees it, prepared or not
SET SESSION AUTHORIZATION rt_user;
PREPARE ask AS SELECT residual_translate('good night', 'heart') IS NOT NULL AS answered;
EXECUTE ask;
SET SESSION AUTHORIZATION rt_owner;
SELECT residual_revoke('heart', 'rt_user'), residual_revoke('heart', 'rt_group');
SELECT residual_revoke('heart', 'rt_user');
SET SESSION AUTHORIZATION rt_user;
EXECUTE ask;
DEALLOCATE ask;
TABLE rights;
SET SESSION AUTHORIZATION rt_grouped;
TABLE rights;

-- everybody
SET SESSION AUTHORIZATION rt_owner;
SELECT residual_grant('heart', 'public');
SET SESSION AUTHORIZATION rt_other;
TABLE rights;
SET SESSION AUTHORIZATION rt_owner;
SELECT residual_revoke('heart', 'public');
SET SESSION AUTHORIZATION rt_other;
TABLE rights;
SET SESSION AUTHORIZATION rt_owner;
SELECT residual_grant('heart', 'nobody');
SELECT residual_revoke('heart', 'nobody');

-- a function of the owner lends its right
CREATE FUNCTION lend(text) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = public
    AS $$ SELECT residual_translate($1, 'heart') $$;
SET SESSION AUTHORIZATION rt_other;
SELECT lend('good night') IS NOT NULL AS lent;
SELECT residual_translate('good night', 'heart');

-- the tables are for nobody, whatever one may do with a model
SET SESSION AUTHORIZATION rt_owner;
SELECT count(*) FROM residual.model;
SELECT count(*) FROM residual.weight;
DELETE FROM residual.model_grant;

-- somebody else's model cannot be trained further
GRANT SELECT ON pairs TO rt_other;
SET SESSION AUTHORIZATION rt_other;
SELECT residual_train('heart', 'pairs', 'en', 'de');
SELECT residual_evaluate('heart', 'pairs', 'en', 'de');

-- the superuser may do all of it
RESET SESSION AUTHORIZATION;
TABLE rights;
SELECT residual_drop_model('heart');

-- a schema that only has the name is neither read nor written
ALTER SCHEMA residual RENAME TO hidden;
SELECT residual_rename_model('heart', 'soul');
CREATE SCHEMA residual;
CREATE TABLE residual.model (LIKE hidden.model);
SELECT residual_rename_model('heart', 'soul');
DROP SCHEMA residual CASCADE;
ALTER SCHEMA hidden RENAME TO residual;
DROP VIEW rights;
DROP FUNCTION may(text);
DROP OWNED BY rt_owner, rt_other;
DROP ROLE rt_owner, rt_member, rt_apart, rt_user, rt_group, rt_grouped, rt_other;
