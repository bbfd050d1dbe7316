# Dump and restore: models and the record of jobs that have ended; nothing that would start by itself.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;

my $node = start_node('main');
my $done = train($node, 'kept', stats_every => 10, validation => 0.1, validate_every => 10);
is(outcome($node, $done), 'done|', 'a job that is done');
my $running = train($node, 'running', max_steps => 100000000);
ok(wait_training($node, $running), 'a job that runs');

my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'pg_dump while a job runs');
$node->safe_psql('postgres', "SELECT residual_cancel($running)");
$node->safe_psql('postgres', "SELECT residual_wait($running)");

$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('copy') ], 'restore');
for my $query (
	"SELECT count(*), md5(string_agg(tensor || part || md5(bytes), '' ORDER BY tensor COLLATE \"C\", part)) FROM residual.weight",
	"SELECT model, version, active, step, bytes, validation_loss FROM residual_versions",
	"SELECT * FROM residual_training_log WHERE job = $done",
	"SELECT count(*), sum(gradient_norm) FROM residual_gradient_stats WHERE job = $done",
	"SELECT job, model, state, options FROM residual_jobs WHERE job = $done")
{
	is($node->safe_psql('copy', $query), $node->safe_psql('postgres', $query), $query);
}
is($node->safe_psql('copy', "SELECT count(*) FROM residual_jobs WHERE job = $running"), '0', 'the running job has stayed behind');
is($node->safe_psql('copy', "SELECT count(*) FROM residual_progress WHERE job = $running"), '0', 'with all that is its own');

# numbers go on where they were
my $next = train($node, 'next', database => 'copy');
cmp_ok($next, '>', $running, 'the next job has the next number');
is(outcome($node, $next, undef, 'copy'), 'done|', 'and trains on the restored table');
$next = train($node, 'kept', database => 'copy', seed => 2);
is(outcome($node, $next, 'version', 'copy'), 'done|2|', 'as the next version of the restored model');

$node->stop;
done_testing();
