# Databases of other encodings.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;

my $node = start_node('main');

for my $encoding ('LATIN1', 'EUC_JP', 'SQL_ASCII')
{
	my $database = lc $encoding;
	$node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	$node->safe_psql($database, 'CREATE EXTENSION residual');
	make_corpus($node, $database, 'corpus', 200);
	my $word = $encoding eq 'LATIN1' ? "U&'gr\\00FC\\00DFe'" : $encoding eq 'EUC_JP' ? "U&'\\65E5\\672C'" : "E'gr\\xfc\\xdf'";
	$node->safe_psql($database, "UPDATE corpus SET target = $word || ' ' || id");
	my $job = train($node, 'm', database => $database);
	is(outcome($node, $job, undef, $database), 'done|', "a database of encoding $encoding");
	is($node->safe_psql($database, "SELECT pairs + held_out FROM residual_jobs WHERE job = $job"), '200', 'all rows are used');
}

# names that need quotes
$node->safe_psql('postgres', q{CREATE SCHEMA "a ""b"; CREATE TABLE "a ""b"."Tab le" AS SELECT source AS "Sour""ce", target AS "SELECT" FROM corpus});
my $job = $node->safe_psql('postgres', q{SELECT residual_train('na"me''', '"a ""b"."Tab le"', 'Sour"ce', 'SELECT', '} . tiny() . q{')});
is(outcome($node, $job, 'corpus'), 'done|"a ""b"."Tab le"|', 'names that need quotes');

# kinds of text, and a table for validation
$node->safe_psql('postgres', q{
	CREATE DOMAIN sentence AS varchar(200);
	CREATE TABLE kinds AS SELECT id, source::sentence AS source, target::char(100) AS target FROM corpus;
	CREATE TABLE dev AS SELECT source, target FROM corpus LIMIT 30;
	CREATE MATERIALIZED VIEW mat AS SELECT * FROM corpus;
	CREATE TABLE parted (source text, target text) PARTITION BY LIST (target);
	CREATE TABLE parted_1 PARTITION OF parted DEFAULT;
	INSERT INTO parted SELECT source, target FROM corpus});
for my $table ('kinds', 'mat', 'parted')
{
	$job = train($node, $table, corpus => $table, validation => 'dev', validate_every => 10);
	is(outcome($node, $job, 'pairs'), 'done|400|', "corpus $table");
	cmp_ok($node->safe_psql('postgres', "SELECT min(validation_pairs) FROM residual_training_log WHERE job = $job"), '==', 30,
		'a table for validation');
}
is($node->safe_psql('postgres', "SELECT options->>'validation' FROM residual_jobs WHERE job = $job"), 'public.dev', 'its name is kept qualified');

$node->stop;
done_testing();
