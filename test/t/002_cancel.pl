# Cancelling and terminating: how fast, and what is left.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use ResidualTest;

my $node = start_node('main');

# Seconds that a job takes to end once asked.
sub ends_within
{
	my ($sql, $job) = @_;
	my $begin = time;

	$node->safe_psql('postgres', $sql);
	$node->safe_psql('postgres', "SELECT residual_wait($job)");
	return time - $begin;
}

# in the middle of training
my $job = train($node, 'm', max_steps => 100000000, checkpoint_every => 0);
ok(wait_training($node, $job), 'training');
my $engine = engine_pid($node, $job);
ok(process_lives($engine), 'its engine lives');
my $seconds = ends_within("SELECT residual_cancel($job)", $job);
cmp_ok($seconds, '<', 1, 'residual_cancel ends it within a second');
note("$seconds s");
is($node->safe_psql('postgres', "SELECT state, reason, sqlstate IS NULL, checkpoint_step > 0 FROM residual_jobs WHERE job = $job"),
	'cancelled|stop|t|t', 'cancelled, with a checkpoint');
ok(wait_gone($engine, 5), 'the engine has gone');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'residual training'"),
	'the worker has gone');

# it goes on from there
my $step = $node->safe_psql('postgres', "SELECT checkpoint_step FROM residual_jobs WHERE job = $job");
is($node->safe_psql('postgres', "SELECT residual_resume($job)"), 't', 'residual_resume');
ok(wait_training($node, $job, $step), 'it goes on from the checkpoint');

# pg_cancel_backend
$seconds = ends_within("SELECT pg_cancel_backend(pid) FROM residual_jobs WHERE job = $job", $job);
cmp_ok($seconds, '<', 1, 'pg_cancel_backend ends it within a second');
is($node->safe_psql('postgres', "SELECT state FROM residual_jobs WHERE job = $job"), 'cancelled', 'as cancelled');

# pg_terminate_backend
$node->safe_psql('postgres', "SELECT residual_resume($job)");
ok(wait_training($node, $job), 'resumed');
$engine = engine_pid($node, $job);
$seconds = ends_within("SELECT pg_terminate_backend(pid) FROM residual_jobs WHERE job = $job", $job);
cmp_ok($seconds, '<', 2, 'pg_terminate_backend ends the worker');
is($node->safe_psql('postgres', "SELECT state FROM residual_jobs WHERE job = $job"), 'interrupted', 'as interrupted');
is($node->safe_psql('postgres', "SELECT state FROM residual.job WHERE id = $job"), 'running', 'which its row alone does not tell');
ok(wait_gone($engine, 5), 'the engine has gone');
is($node->safe_psql('postgres', "SELECT residual_cancel($job)"), 't', 'an interrupted job can be cancelled');
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'cancelled', 'and is');

# an engine that does not listen
$node->safe_psql('postgres', "SELECT residual_resume($job)");
ok(wait_training($node, $job), 'resumed');
$engine = engine_pid($node, $job);
kill 'STOP', $engine;
$seconds = ends_within("SELECT residual_cancel($job)", $job);
cmp_ok($seconds, '<', 2, 'a stopped engine is killed after residual.stop_grace');
is($node->safe_psql('postgres', "SELECT state FROM residual_jobs WHERE job = $job"), 'cancelled', 'cancelled');
ok(wait_gone($engine, 5), 'the engine has gone');

# while rows are read
$node->safe_psql('postgres', "CREATE VIEW slow AS SELECT source, target FROM corpus WHERE pg_sleep(0.5) IS NOT NULL");
$job = train($node, 'slow', corpus => 'slow');
$node->poll_query_until('postgres', "SELECT state = 'running' AND engine_pid IS NOT NULL FROM residual.job WHERE id = $job");
$engine = engine_pid($node, $job);
$seconds = ends_within("SELECT residual_cancel($job)", $job);
cmp_ok($seconds, '<', 1, 'cancelled within a second while rows are read');
is($node->safe_psql('postgres', "SELECT state, sqlstate IS NULL FROM residual_jobs WHERE job = $job"), 'cancelled|t', 'cancelled');
ok(wait_gone($engine, 5), 'the engine has gone');

# a queued job
$node->append_conf('postgresql.conf', 'residual.max_jobs = 0');
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('residual.max_jobs') = '0'");
$job = train($node, 'queued');
is($node->safe_psql('postgres', "SELECT residual_cancel($job)"), 't', 'a queued job can be cancelled');
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'cancelled', 'and is');

$node->stop;
done_testing();
