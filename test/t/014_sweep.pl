# Sweeps: one job after another without a launcher, over a restart, with one, and through dump and restore.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;

my $node = start_node('main', 'residual.max_jobs = 1');

sub sweep
{
	my ($name, $grid, %options) = @_;
	return $node->psql('postgres',
		"SELECT residual_sweep('$name', 'corpus', 'source', 'target', '" . tiny(%options) . "'::jsonb || '$grid')");
}

sub states
{
	my ($name, $database) = @_;
	return $node->safe_psql($database // 'postgres',
		"SELECT string_agg(state, ' ' ORDER BY run) FROM residual_sweep_runs WHERE sweep = '$name'");
}

sub all_end
{
	my ($name) = @_;
	return $node->poll_query_until('postgres', "SELECT running + queued = 0 FROM residual_sweeps WHERE sweep = '$name'");
}

# one after another; whose engine is killed does not stop the rest
my ($status, $stdout, $stderr) = sweep('plain', '{"seed": [1, 2, 3, 4], "max_steps": [30]}');
is($stdout, '4', 'four runs');
like($stderr, qr/NOTICE:  3 of 4 runs stay queued.*residual\.max_jobs is 1; each starts when a job before it has ended/s, 'three wait');
is($node->safe_psql('postgres', "SELECT max(n) FROM (SELECT count(*) AS n FROM residual_jobs WHERE state = 'running') x") <= 1, 1, 'one at a time');
ok(all_end('plain'), 'without a launcher each starts the next');
is(states('plain'), 'done done done done', 'and all are done');
($status, $stdout, $stderr) = sweep('broken', '{"seed": [1, 2, 3], "max_steps": [100000]}', checkpoint_every => 0);
my $job = $node->safe_psql('postgres', "SELECT job FROM residual_sweep_runs WHERE sweep = 'broken' AND run = 1");
ok(wait_training($node, $job), 'the first of three long runs trains');
kill 'KILL', engine_pid($node, $job);
$job = $node->safe_psql('postgres', "SELECT job FROM residual_sweep_runs WHERE sweep = 'broken' AND run = 2");
ok(wait_training($node, $job), 'its engine is killed, the second one trains');
is($node->safe_psql('postgres', "SELECT failures[1] ~ '^broken\\.1 failed: engine was terminated by signal 9' FROM residual_sweep_results WHERE sweep = 'broken'"),
	't', 'the failure has a name');

# a restart without a launcher
$node->restart;
is(states('broken'), 'failed interrupted queued', 'a restart interrupts the sweep');
is($node->safe_psql('postgres', "SELECT residual_sweep_resume('broken')"), '3', 'residual_sweep_resume goes on with it');
$job = $node->safe_psql('postgres', "SELECT job FROM residual_sweep_runs WHERE sweep = 'broken' AND run = 1");
ok(wait_training($node, $job), 'from the first run on');

# cancelling all at once; a job of nobody's sweep goes on in the queue
my $other = train($node, 'other');
is($node->safe_psql('postgres', "SELECT residual_sweep_cancel('broken')"), '3', 'residual_sweep_cancel');
ok(all_end('broken'), 'all end');
is(states('broken'), 'cancelled cancelled cancelled', 'as cancelled');
is(outcome($node, $other), 'done|', 'and the next in the queue has started');

# an owner who may not connect any more does not stand in the way
$node->safe_psql('postgres', "CREATE ROLE leaver LOGIN; GRANT SELECT ON corpus TO leaver; GRANT EXECUTE ON FUNCTION residual_train TO leaver");
my $long = train($node, 'long', max_steps => 100000000);
ok(wait_training($node, $long), 'a job runs');
($status, $stdout) = as_role($node, 'leaver', "SELECT residual_train('leaves', 'corpus', 'source', 'target', '" . tiny() . "')");
my $stuck = $stdout;
$other = train($node, 'follows');
$node->safe_psql('postgres', 'ALTER ROLE leaver NOLOGIN');
$node->safe_psql('postgres', "SELECT residual_cancel($long)");
is(outcome($node, $other), 'done|', 'a job behind one that cannot start is done');
is($node->safe_psql('postgres', "SELECT state FROM residual_jobs WHERE job = $stuck"), 'queued', 'the other waits');
$node->safe_psql('postgres', "SELECT residual_cancel($stuck)");

# dump and restore: jobs that have not ended stay behind, and are made anew when the sweep goes on
($status, $stdout) = sweep('half', '{"seed": [1, 2]}');
$node->poll_query_until('postgres', "SELECT done = 2 FROM residual_sweeps WHERE sweep = 'half'");
($status, $stdout) = sweep('rest', '{"seed": [1, 2]}', max_steps => 100000000);
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'pg_dump while a sweep runs');
$node->safe_psql('postgres', "SELECT residual_sweep_cancel('rest')");
ok(all_end('rest'), 'the sweep is cancelled');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('copy') ], 'restore');
for my $query ("SELECT * FROM residual_sweep_results WHERE sweep = 'half'", "SELECT sweep, grid, created FROM residual_sweeps ORDER BY sweep")
{
	is($node->safe_psql('copy', $query), $node->safe_psql('postgres', $query), $query);
}
is(states('rest', 'copy'), 'missing missing', 'runs without their jobs');
is($node->safe_psql('copy', "SELECT residual_sweep_resume('rest')"), '2', 'they are trained anew');
is($node->safe_psql('copy', "SELECT options->>'max_steps' FROM residual_jobs j JOIN residual_sweep_runs r USING (job) WHERE sweep = 'rest' AND run = 2"),
	'100000000', 'as they were meant to be');
$node->safe_psql('copy', "SELECT residual_sweep_cancel('rest')");
$node->poll_query_until('copy', "SELECT running + queued = 0 FROM residual_sweeps WHERE sweep = 'rest'");
is($node->safe_psql('copy', "SELECT residual_sweep_drop('half'), (SELECT count(*) FROM residual_models WHERE model LIKE 'half.%')"), '2|2',
	'a sweep is dropped with its models');
is($node->safe_psql('copy', "SELECT count(*) FROM residual_models WHERE model LIKE 'half.%'"), '0', 'they have gone');

# with a launcher
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'residual'");
$node->restart;
($status, $stdout) = sweep('launched', '{"seed": [1, 2, 3]}');
ok(all_end('launched'), 'the launcher starts the runs that wait');
is(states('launched'), 'done done done', 'all are done');
($status, $stdout) = sweep('again', '{"seed": [1, 2], "max_steps": [2000]}');
$job = $node->safe_psql('postgres', "SELECT job FROM residual_sweep_runs WHERE sweep = 'again' AND run = 1");
ok(wait_training($node, $job), 'another sweep');
$node->restart;
ok(all_end('again'), 'goes on by itself after a restart');
is(states('again'), 'done done', 'to its end');

$node->stop;
done_testing();
