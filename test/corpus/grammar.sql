-- grammar.sql: English and German sentences made by a small grammar; plain SQL, no data file, no extension.
--
-- What has to be learned: case and gender of articles and adjectives, units before tens, "half past three" = "halb vier",
-- the verb second, or last in a clause.  Deterministic: every choice is taken from md5(sentence number || slot).
--
--     psql -v n=24000 -f grammar.sql         makes table grammar_pairs(id, split, template, en, de)
--
-- split: train; dev, of the same distribution; and what was held out by construction: pair (adjectives with nouns never
-- trained together), number (numerals never trained), clause (verbs never trained in a subordinate clause), depth (two
-- "because" clauses, one at most in training).
\if :{?n}
\else
\set n 24000
\endif
BEGIN;
DROP TABLE IF EXISTS grammar_pairs;
CREATE TEMP TABLE noun ON COMMIT DROP AS
SELECT row_number() OVER () - 1 AS id, * FROM (VALUES
 ('dog','dogs','Hund','Hunde','Hunden','m',true), ('cat','cats','Katze','Katzen','Katzen','f',true),
 ('child','children','Kind','Kinder','Kindern','n',true), ('woman','women','Frau','Frauen','Frauen','f',true),
 ('man','men','Mann','Männer','Männern','m',true), ('girl','girls','Mädchen','Mädchen','Mädchen','n',true),
 ('teacher','teachers','Lehrer','Lehrer','Lehrern','m',true), ('friend','friends','Freund','Freunde','Freunden','m',true),
 ('sister','sisters','Schwester','Schwestern','Schwestern','f',true), ('horse','horses','Pferd','Pferde','Pferden','n',true),
 ('doctor','doctors','Arzt','Ärzte','Ärzten','m',true), ('neighbour','neighbours','Nachbarin','Nachbarinnen','Nachbarinnen','f',true),
 ('car','cars','Auto','Autos','Autos','n',false), ('house','houses','Haus','Häuser','Häusern','n',false),
 ('book','books','Buch','Bücher','Büchern','n',false), ('table','tables','Tisch','Tische','Tischen','m',false),
 ('lamp','lamps','Lampe','Lampen','Lampen','f',false), ('tree','trees','Baum','Bäume','Bäumen','m',false),
 ('flower','flowers','Blume','Blumen','Blumen','f',false), ('letter','letters','Brief','Briefe','Briefen','m',false),
 ('picture','pictures','Bild','Bilder','Bildern','n',false), ('street','streets','Straße','Straßen','Straßen','f',false),
 ('garden','gardens','Garten','Gärten','Gärten','m',false), ('window','windows','Fenster','Fenster','Fenstern','n',false),
 ('bag','bags','Tasche','Taschen','Taschen','f',false), ('boat','boats','Boot','Boote','Booten','n',false),
 ('chair','chairs','Stuhl','Stühle','Stühlen','m',false), ('city','cities','Stadt','Städte','Städten','f',false),
 ('bridge','bridges','Brücke','Brücken','Brücken','f',false), ('key','keys','Schlüssel','Schlüssel','Schlüsseln','m',false)
) v(en, enp, de, dep, ded, g, alive);
CREATE TEMP TABLE adj ON COMMIT DROP AS   -- 0..5 for all nouns, 6..9 for living ones, 10..16 for things
SELECT row_number() OVER () - 1 AS id, * FROM (VALUES ('old','alt'),('small','klein'),('big','groß'),
 ('new','neu'),('beautiful','schön'),('strange','seltsam'),('quiet','ruhig'),('young','jung'),('clever','klug'),
 ('friendly','freundlich'),('red','rot'),('blue','blau'),('black','schwarz'),('white','weiß'),('heavy','schwer'),
 ('round','rund'),('cheap','billig')) v(en, de);
CREATE TEMP TABLE verb ON COMMIT DROP AS   -- en base, 3rd person, participle; de 3sg, 3pl, participle, infinitive
SELECT row_number() OVER () - 1 AS id, * FROM (VALUES
 ('see','sees','seen','sieht','sehen','gesehen'), ('buy','buys','bought','kauft','kaufen','gekauft'),
 ('find','finds','found','findet','finden','gefunden'), ('love','loves','loved','liebt','lieben','geliebt'),
 ('look for','looks for','looked for','sucht','suchen','gesucht'), ('need','needs','needed','braucht','brauchen','gebraucht'),
 ('draw','draws','drawn','zeichnet','zeichnen','gezeichnet'), ('carry','carries','carried','trägt','tragen','getragen'),
 ('know','knows','known','kennt','kennen','gekannt'), ('show','shows','shown','zeigt','zeigen','gezeigt'),
 ('forget','forgets','forgotten','vergisst','vergessen','vergessen'), ('sell','sells','sold','verkauft','verkaufen','verkauft')
) v(b, s, p, ds, dp, dpp);
CREATE TEMP TABLE mood ON COMMIT DROP AS
SELECT row_number() OVER () - 1 AS id, * FROM (VALUES ('happy','froh'),('sad','traurig'),('tired','müde'),('angry','wütend')) v(en, de);
CREATE TEMP TABLE whenw ON COMMIT DROP AS
SELECT row_number() OVER () - 1 AS id, * FROM (VALUES ('today','heute'),('in the morning','am Morgen'),('in the evening','am Abend'),
 ('on Monday','am Montag'),('on Friday','am Freitag'),('in May','im Mai'),('in winter','im Winter'),('every day','jeden Tag')) v(en, de);
CREATE TEMP TABLE place ON COMMIT DROP AS
SELECT row_number() OVER () - 1 AS id, * FROM (VALUES ('under','unter'),('behind','hinter'),('next to','neben'),('in front of','vor')) v(en, de);

CREATE OR REPLACE FUNCTION pg_temp.pick(i int, slot text, n bigint) RETURNS int LANGUAGE sql IMMUTABLE AS
 $$ SELECT ((('x' || substr(md5(i || ':' || slot), 1, 8))::bit(32)::bigint & 2147483647) % n)::int $$;
CREATE OR REPLACE FUNCTION pg_temp.number_en(n int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
 SELECT CASE WHEN n < 20 THEN (ARRAY['one','two','three','four','five','six','seven','eight','nine','ten','eleven','twelve',
  'thirteen','fourteen','fifteen','sixteen','seventeen','eighteen','nineteen'])[n]
  ELSE (ARRAY['twenty','thirty','forty','fifty','sixty','seventy','eighty','ninety'])[n / 10 - 1]
   || CASE WHEN n % 10 > 0 THEN '-' || (ARRAY['one','two','three','four','five','six','seven','eight','nine'])[n % 10] ELSE '' END END $$;
CREATE OR REPLACE FUNCTION pg_temp.number_de(n int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
 SELECT CASE WHEN n < 20 THEN (ARRAY['ein','zwei','drei','vier','fünf','sechs','sieben','acht','neun','zehn','elf','zwölf',
  'dreizehn','vierzehn','fünfzehn','sechzehn','siebzehn','achtzehn','neunzehn'])[n]
  ELSE CASE WHEN n % 10 > 0 THEN (ARRAY['ein','zwei','drei','vier','fünf','sechs','sieben','acht','neun'])[n % 10] || 'und' ELSE '' END
   || (ARRAY['zwanzig','dreißig','vierzig','fünfzig','sechzig','siebzig','achtzig','neunzig'])[n / 10 - 1] END $$;

-- Every noun phrase. det: 0 the (sg), 1 a, 2 my, 3 the (pl), 4 a numeral ('#'), 5 this, 6 no
CREATE TEMP TABLE np ON COMMIT DROP AS
WITH f AS (
 SELECT n.id AS noun, coalesce(a.id, -1) AS adj, det, kase, det IN (3, 4) AS pl, n.en AS n_en, n.enp, n.de AS n_de, n.dep, n.ded,
  a.en AS a_en, a.de AS a_de, CASE WHEN det IN (3, 4) THEN 'p' ELSE n.g END AS g
 FROM noun n, (SELECT id, en, de FROM adj UNION ALL SELECT NULL, NULL, NULL) a, generate_series(0, 6) det, unnest('{n,a,d}'::text[]) kase),
e AS (
 SELECT f.*,
  CASE WHEN det = 4 THEN '#'
   WHEN det IN (0, 3) THEN CASE kase || g WHEN 'nm' THEN 'der' WHEN 'am' THEN 'den' WHEN 'dm' THEN 'dem' WHEN 'dn' THEN 'dem'
    WHEN 'df' THEN 'der' WHEN 'nn' THEN 'das' WHEN 'an' THEN 'das' WHEN 'dp' THEN 'den' ELSE 'die' END
   WHEN det = 5 THEN 'dies' || CASE kase || g WHEN 'nm' THEN 'er' WHEN 'am' THEN 'en' WHEN 'dm' THEN 'em' WHEN 'dn' THEN 'em'
    WHEN 'df' THEN 'er' WHEN 'nn' THEN 'es' WHEN 'an' THEN 'es' ELSE 'e' END
   ELSE CASE det WHEN 1 THEN 'ein' WHEN 2 THEN 'mein' ELSE 'kein' END || CASE kase || g WHEN 'am' THEN 'en' WHEN 'dm' THEN 'em'
    WHEN 'dn' THEN 'em' WHEN 'nf' THEN 'e' WHEN 'af' THEN 'e' WHEN 'df' THEN 'er' ELSE '' END
  END AS d,
  CASE WHEN det = 4 THEN CASE kase WHEN 'd' THEN 'en' ELSE 'e' END                                         -- strong plural
   WHEN det IN (0, 3, 5) THEN CASE WHEN g <> 'p' AND (kase = 'n' OR kase = 'a' AND g <> 'm') THEN 'e' ELSE 'en' END  -- weak
   ELSE CASE kase || g WHEN 'nm' THEN 'er' WHEN 'nn' THEN 'es' WHEN 'an' THEN 'es' WHEN 'nf' THEN 'e' WHEN 'af' THEN 'e' ELSE 'en' END
  END AS ending
 FROM f)
SELECT ((noun * 20 + adj + 1) * 7 + det) * 3 + CASE kase WHEN 'n' THEN 0 WHEN 'a' THEN 1 ELSE 2 END AS k,
 concat_ws(' ', CASE det WHEN 1 THEN CASE WHEN coalesce(a_en, n_en) ~ '^[aeio]' THEN 'an' ELSE 'a' END
  WHEN 2 THEN 'my' WHEN 4 THEN '#' WHEN 5 THEN 'this' WHEN 6 THEN 'no' ELSE 'the' END, a_en, CASE WHEN pl THEN enp ELSE n_en END) AS en,
 concat_ws(' ', d, a_de || ending, CASE WHEN pl AND kase = 'd' THEN ded WHEN pl THEN dep ELSE n_de END) AS de
FROM e;
ANALYZE noun; ANALYZE adj; ANALYZE verb; ANALYZE mood; ANALYZE whenw; ANALYZE place; ANALYZE np;
CREATE OR REPLACE FUNCTION pg_temp.cap(s text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT upper(left(s, 1)) || substr(s, 2) $$;

CREATE TABLE grammar_pairs(id int, split text, template int, en text, de text);
INSERT INTO grammar_pairs
WITH c AS MATERIALIZED (                 -- the choices behind sentence i
 SELECT i, pg_temp.pick(i, 't', 12) AS t,
  pg_temp.pick(i, 's', 12) AS s, 12 + pg_temp.pick(i, 'o', 18) AS o, pg_temp.pick(i, 's2', 12) AS s2, 12 + pg_temp.pick(i, 'o2', 18) AS o2,
  CASE WHEN pg_temp.pick(i, 'sa?', 5) < 2 THEN pg_temp.pick(i, 'sa', 10) ELSE -1 END AS sa,
  CASE WHEN pg_temp.pick(i, 'oa?', 5) < 3 THEN (ARRAY[0,1,2,3,4,5,10,11,12,13,14,15,16])[1 + pg_temp.pick(i, 'oa', 13)] ELSE -1 END AS oa,
  (ARRAY[0,0,1,2,3,4,5])[1 + pg_temp.pick(i, 'sd', 7)] AS sd, (ARRAY[0,0,1,1,2,3,4,4,5])[1 + pg_temp.pick(i, 'od', 9)] AS od,
  2 + pg_temp.pick(i, 'sn', 98) AS sn, 2 + pg_temp.pick(i, 'on', 98) AS onum,
  pg_temp.pick(i, 'v', 12) AS v, pg_temp.pick(i, 'v2', 12) AS v2, pg_temp.pick(i, 'm', 4) AS m, pg_temp.pick(i, 'm2', 4) AS m2, pg_temp.pick(i, 'w', 8) AS w,
  pg_temp.pick(i, 'p', 4) AS p, 1 + pg_temp.pick(i, 'h', 11) AS h, pg_temp.pick(i, 'q', 4) AS q
 FROM generate_series(1, :n) i),
x AS (
 SELECT c.*, vb.b, vb.s AS v3, vb.p AS vp, vb.ds, vb.dp, vb.dpp, mo.en AS me, mo.de AS md, ww.en AS we, ww.de AS wd, pl.en AS pe, pl.de AS pd,
  v2.s AS v2s, v2.b AS v2b, v2.ds AS v2d, c.sd IN (3, 4) AS spl,
  replace(n1.en, '#', pg_temp.number_en(sn)) AS se, replace(n1.de, '#', pg_temp.number_de(sn)) AS sg,
  replace(n2.en, '#', pg_temp.number_en(onum)) AS oe, replace(n2.de, '#', pg_temp.number_de(onum)) AS og,
  replace(n3.de, '#', pg_temp.number_de(onum)) AS ogd, n4.de AS ok, n5.en AS oa1,
  n6.en AS s2e, n6.de AS s2g, n7.en AS o2e, n7.de AS o2g
 FROM c JOIN verb vb ON vb.id = c.v JOIN verb v2 ON v2.id = c.v2 JOIN mood mo ON mo.id = c.m JOIN whenw ww ON ww.id = c.w JOIN place pl ON pl.id = c.p
  JOIN np n1 ON n1.k = ((c.s * 20 + sa + 1) * 7 + sd) * 3 + 0     -- subject
  JOIN np n2 ON n2.k = ((c.o * 20 + oa + 1) * 7 + od) * 3 + 1     -- object
  JOIN np n3 ON n3.k = ((c.o * 20 + oa + 1) * 7 + od) * 3 + 2     -- the same after a preposition
  JOIN np n4 ON n4.k = ((c.o * 20 + oa + 1) * 7 + 6) * 3 + 1      -- the same negated
  JOIN np n5 ON n5.k = ((c.o * 20 + oa + 1) * 7 + 1) * 3 + 1
  JOIN np n6 ON n6.k = ((c.s2 * 20 + -1 + 1) * 7 + 0) * 3 + 0     -- second clause
  JOIN np n7 ON n7.k = ((c.o2 * 20 + -1 + 1) * 7 + 1) * 3 + 1),
y AS (
 SELECT x.*,
  CASE WHEN spl THEN b ELSE v3 END AS ve, CASE WHEN spl THEN dp ELSE ds END AS vg,
  CASE WHEN spl THEN 'are' ELSE 'is' END AS ise, CASE WHEN spl THEN 'sind' ELSE 'ist' END AS isg,
  CASE WHEN spl THEN 'have' ELSE 'has' END AS hae, CASE WHEN spl THEN 'haben' ELSE 'hat' END AS hag,
  pg_temp.number_en(h) AS he, CASE h WHEN 1 THEN 'eins' ELSE pg_temp.number_de(h) END AS hg,
  CASE h WHEN 1 THEN 'ein' ELSE pg_temp.number_de(h) END AS hg0, pg_temp.number_de(h + 1) AS hg1
 FROM x),
z AS (
 SELECT y.*,
 CASE t
  WHEN 0 THEN se || ' ' || ve || ' ' || oe
  WHEN 1 THEN we || ' ' || se || ' ' || ve || ' ' || oe
  WHEN 2 THEN se || ' ' || hae || ' ' || vp || ' ' || oe
  WHEN 3 THEN se || CASE WHEN spl THEN ' want' ELSE ' wants' END || ' to ' || b || ' ' || oe
  WHEN 4 THEN CASE WHEN spl THEN 'do ' ELSE 'does ' END || se || ' ' || b || ' ' || oe
  WHEN 5 THEN se || CASE WHEN spl THEN ' do' ELSE ' does' END || ' not ' || b || ' ' || oa1
  WHEN 6 THEN se || ' ' || ise || ' ' || me || ' because ' || s2e || ' ' || v2s || ' ' || o2e
  WHEN 7 THEN se || ' ' || ise || ' ' || pe || ' ' || oe
  WHEN 8 THEN se || CASE WHEN spl THEN ' come' ELSE ' comes' END || ' at ' ||
   (ARRAY[he || ' o''clock', 'half past ' || he, 'a quarter past ' || he, 'a quarter to ' || pg_temp.number_en(h + 1)])[q + 1]
  WHEN 9 THEN se || ' that ' || ve || ' ' || o2e || ' ' || ise || ' ' || me
  WHEN 10 THEN 'when ' || s2e || ' ' || v2s || ' ' || o2e || ', ' || se || ' ' || ise || ' ' || me
  ELSE se || ' ' || ise || ' ' || me || ' because ' || s2e || ' ' || v2s || ' ' || o2e || ' and ' || se || ' ' || ve || ' ' || oe
 END AS e,
 CASE t
  WHEN 0 THEN sg || ' ' || vg || ' ' || og
  WHEN 1 THEN wd || ' ' || vg || ' ' || sg || ' ' || og
  WHEN 2 THEN sg || ' ' || hag || ' ' || og || ' ' || dpp
  WHEN 3 THEN sg || CASE WHEN spl THEN ' wollen ' ELSE ' will ' END || og || ' ' || dp
  WHEN 4 THEN vg || ' ' || sg || ' ' || og
  WHEN 5 THEN sg || ' ' || vg || ' ' || ok
  WHEN 6 THEN sg || ' ' || isg || ' ' || md || ', weil ' || s2g || ' ' || o2g || ' ' || v2d
  WHEN 7 THEN sg || ' ' || isg || ' ' || pd || ' ' || ogd
  WHEN 8 THEN sg || CASE WHEN spl THEN ' kommen' ELSE ' kommt' END || ' um ' ||
   (ARRAY[hg0 || ' Uhr', 'halb ' || hg1, 'Viertel nach ' || hg, 'Viertel vor ' || hg1])[q + 1]
  WHEN 9 THEN sg || ', ' || CASE WHEN spl THEN 'die' ELSE (SELECT CASE g WHEN 'm' THEN 'der' WHEN 'f' THEN 'die' ELSE 'das' END FROM noun WHERE id = s) END
   || ' ' || o2g || ' ' || vg || ', ' || isg || ' ' || md
  WHEN 10 THEN 'wenn ' || s2g || ' ' || o2g || ' ' || v2d || ', ' || isg || ' ' || sg || ' ' || md
  ELSE sg || ' ' || isg || ' ' || md || ', weil ' || s2g || ' ' || o2g || ' ' || v2d || ' und ' || sg || ' ' || og || ' ' || vg
 END AS d,
 t IN (0, 1, 2, 3, 4, 7) OR t = 11 AS uses_o
 FROM y)
SELECT min(i),
 CASE WHEN bool_or(t = 11) THEN 'depth'
  WHEN bool_or((sa >= 0 AND (s * 3 + sa) % 9 = 0) OR (oa >= 0 AND (uses_o OR t = 5) AND (o * 3 + oa) % 9 = 0)) THEN 'pair'
  WHEN bool_or((sd = 4 AND sn > 20 AND (sn * 7) % 11 = 0) OR (uses_o AND od = 4 AND onum > 20 AND (onum * 7) % 11 = 0)) THEN 'number'
  WHEN bool_or((t IN (6, 10) AND v2 IN (0, 3, 7)) OR (t = 9 AND v IN (0, 3, 7))) THEN 'clause'
  WHEN bool_or(('x' || substr(md5(e), 1, 4))::bit(16)::int % 25 = 0) THEN 'dev' ELSE 'train' END,
 min(t), pg_temp.cap(e) || CASE WHEN min(t) = 4 THEN '?' ELSE '.' END, pg_temp.cap(d) || CASE WHEN min(t) = 4 THEN '?' ELSE '.' END
FROM z GROUP BY e, d;
COMMIT;
SELECT split, count(*) AS pairs, count(DISTINCT en) AS sources, round(avg(array_length(string_to_array(en, ' '), 1)), 1) AS en_words,
 round(avg(array_length(string_to_array(de, ' '), 1)), 1) AS de_words FROM grammar_pairs GROUP BY 1 ORDER BY 1;
