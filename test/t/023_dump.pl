# Dumped and restored, a model translates as before and belongs to whom it did;
# in databases of other encodings it speaks their language.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;
use ServingTest;

my $node = start_node('origin');
my $other = start_node('restored');
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
my $answers = q{SELECT md5(string_agg(residual_translate(en, 'en_de') || residual_score(en, de, 'en_de')::text || residual_embed(en, 'en_de')::text, '|' ORDER BY en)) FROM pairs};
my $digest = q{SELECT count(*) || md5(string_agg(tensor || part || md5(bytes), '' ORDER BY tensor COLLATE "C", part)) FROM residual.weight};
my ($before, $weights, $versions);

$node->safe_psql('postgres', 'CREATE ROLE keeper LOGIN; CREATE ROLE guest LOGIN');
$other->safe_psql('postgres', 'CREATE ROLE other_first LOGIN; CREATE ROLE guest LOGIN; CREATE ROLE keeper LOGIN; DROP TABLE corpus');
learn($node, 'en_de');
learn($node, 'en_de');
$node->safe_psql('postgres', "SELECT residual_activate('en_de', 1);
	SELECT residual_make_shortlist('en_de', 'pairs', 'en', 'de', '{\"shortlist_frequent\": 10, \"shortlist_best\": 15}');
	SELECT residual_grant('en_de', 'guest');
	SELECT residual_grant('en_de', 'public'); SELECT residual_revoke('en_de', 'public')");
$node->safe_psql('postgres', "UPDATE residual.model SET owner = 'keeper'");
$before = $node->safe_psql('postgres', $answers);
$weights = $node->safe_psql('postgres', $digest);
$versions = $node->safe_psql('postgres', 'SELECT model, version, active, owner, parameters, bytes, step, configuration, shortlist FROM residual_versions ORDER BY 1, 2');

# a plain dump into another cluster
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'pg_dump');
$other->safe_psql('postgres', 'DROP EXTENSION residual');
$other->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $other->connstr('postgres'), '-f', $dump ], 'restored');
is($other->safe_psql('postgres', $digest), $weights, 'the same weights');
is($other->safe_psql('postgres', 'SELECT model, version, active, owner, parameters, bytes, step, configuration, shortlist FROM residual_versions ORDER BY 1, 2'),
	$versions, 'the same versions, of the same owner');
is($other->safe_psql('postgres', q{SELECT string_agg(shortlist::text, '' ORDER BY version) FROM residual_versions}), 'truefalse',
	'one of them with a shortlist');
is($other->safe_psql('postgres', $answers), $before, 'translations, scores and embeddings are the same to the last bit');
is((as_role($other, 'guest', "SELECT residual_translate('good night', 'en_de')"))[1], 'gute nacht', 'who was granted the use has it');
like((as_role($other, 'other_first', "SELECT residual_translate('good night', 'en_de')"))[2], qr/permission denied for model/, 'nobody else has');
is((as_role($other, 'keeper', "SELECT residual_drop_version('en_de', 2); SELECT count(*) FROM residual_versions"))[1], "\n1",
	'the owner may change it');
is($other->safe_psql('postgres', q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'residual.weight'::regclass AND attname = 'bytes' AND attstorage = 'e'}),
	'1', 'values are stored as they were meant to be');

# new models get new numbers
learn($other, 'another');
is(ask($other, 'good night', 'another'), 'gute nacht', 'a model that was trained after the restore');
is(ask($other, 'good night', 'en_de'), 'gute nacht', 'beside the old one');

# a custom dump, in parallel, within the cluster: the engine tells databases apart
$node->command_ok([ 'pg_dump', '-Fd', '-j', '2', '-d', $node->connstr('postgres'), '-f', "$dump.d" ], 'pg_dump in parallel');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '-j', '2', '-d', $node->connstr('copy'), "$dump.d" ], 'pg_restore in parallel');
is($node->safe_psql('copy', $answers), $before, 'the copy answers the same');
$node->safe_psql('copy', "SELECT residual_drop_model('en_de')");
like(fails($node, "SELECT residual_translate('good night', 'en_de')", 'copy'), qr/42704/, 'a model dropped there');
is($node->safe_psql('postgres', $answers), $before, 'lives on here');

# ---- encodings ----

foreach my $encoding ('LATIN1', 'SQL_ASCII', 'EUC_JP')
{
	my $database = lc $encoding;

	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0 ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C'");
	$node->safe_psql($database, 'CREATE EXTENSION residual');
}
$node->safe_psql('latin1', q{
	SET client_encoding = 'UTF8';
	CREATE TABLE words (en text, de text);
	INSERT INTO words VALUES ('green', 'gr\u00fcn'), ('big', 'gro\u00df'), ('nice', 'sch\u00f6n'), ('thick', 'dick')} =~ s/\\u00([0-9a-f]{2})/chr(0xc2 + (hex($1) >= 0xc0)) . chr(0x80 | hex($1) & 0x3f)/ger);
my $job = $node->safe_psql('latin1', q{SELECT residual_train('w', 'words', 'en', 'de', '{"layers": 1, "d_model": 32, "d_ffn": 64,
	"heads": 2, "threads": 1, "dropout": 0, "label_smoothing": 0, "learning_rate": 0.01, "warmup_steps": 10, "max_steps": 150, "validation": "0"}')});
is($node->safe_psql('latin1', "SELECT residual_wait($job)"), 'done', 'trained on text in LATIN1');
is($node->safe_psql('latin1', q{SELECT count(*) FROM words WHERE residual_translate(en, 'w') = de}), '4', 'it translates into LATIN1');
is($node->safe_psql('latin1', q{SELECT count(residual_translate(chr(i), 'w')) FROM generate_series(1, 255) i}), '255', 'from any character');
is($node->safe_psql('latin1', q{SELECT residual_translate('green', 'w') LIKE 'gr_n' AND length(residual_translate('green', 'w')) = 4}), 't', 'in characters of one byte');
learn($node, 'a', 'sql_ascii');
is($node->safe_psql('sql_ascii', q{SELECT residual_translate('good night', 'a'), residual_translate(convert_from('\xfffec3', 'SQL_ASCII'), 'a') IS NOT NULL}),
	'gute nacht|t', 'bytes of no encoding are no error');
is($node->safe_psql('sql_ascii', q{SELECT residual_chrf(convert_from('\xff', 'SQL_ASCII'), 'a')}), '0', 'nor for scores');
learn($node, 'a', 'euc_jp');
is($node->safe_psql('euc_jp', q{SELECT residual_translate('good night', 'a'), residual_translate(convert_from('\xc6fccbdc', 'EUC_JP'), 'a') IS NOT NULL}),
	'gute nacht|t', 'other encodings are converted');

$node->stop;
$other->stop;
done_testing();
