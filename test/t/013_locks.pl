# Somebody's locks on the extension's rows and tables do not make a training worker deaf.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use ResidualTest;

my $node = start_node('main');
my $other = $node->background_psql('postgres');

# Another session's locks, until it gives them back.
sub holding
{
	my ($sql) = @_;

	$other->query_safe("BEGIN; $sql");
	return;
}

sub release
{
	$other->query_safe('ROLLBACK');
	return;
}

sub state_of
{
	my ($job) = @_;

	return $node->safe_psql('postgres', "SELECT state FROM residual_jobs WHERE job = $job");
}

sub says_that_it_waits
{
	return $node->log_contains(qr/waits to write/, shift);
}

# the job's row is locked: it waits, listens, and goes on
my $job = train($node, 'm', max_steps => 100000000, checkpoint_every => 0);
ok(wait_training($node, $job), 'training');
my $log = -s $node->logfile;
holding("SELECT FROM residual.job WHERE id = $job FOR UPDATE");
ok(wait_until(sub { says_that_it_waits($log) }), 'a locked row is waited for, and the log says so');
$node->safe_psql('postgres', 'CREATE DATABASE unrelated');
my $begin = time;
$node->safe_psql('postgres', 'DROP DATABASE unrelated');
cmp_ok(time - $begin, '<', 5, 'DROP DATABASE need not wait for the worker');
my $step = $node->safe_psql('postgres', "SELECT step FROM residual_progress WHERE job = $job");
release();
ok(wait_training($node, $job, $step), 'it goes on when the row is free');

# a table is locked: a cancel gets through, and is written down later
$log = -s $node->logfile;
holding('LOCK TABLE residual.progress IN SHARE MODE');
ok(wait_until(sub { says_that_it_waits($log) }), 'a locked table is waited for');
my $engine = engine_pid($node, $job);
$node->safe_psql('postgres', "SELECT residual_cancel($job)");
ok(wait_gone($engine, 10), 'the engine of a cancelled job ends although nothing can be written');
is(state_of($job), 'running', 'its end is not written yet');
release();
ok(wait_state($node, $job, 'cancelled'), 'and is when the table is free');

# a shutdown of the worker does not wait either
$node->safe_psql('postgres', "SELECT residual_resume($job)");
ok(wait_training($node, $job), 'resumed');
$log = -s $node->logfile;
holding("SELECT FROM residual.job WHERE id = $job FOR UPDATE");
ok(wait_until(sub { says_that_it_waits($log) }), 'waiting again');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM residual_jobs WHERE job = $job");
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'residual training'"),
	'a terminated worker ends');
is(state_of($job), 'interrupted', 'its job is interrupted');
release();
$node->safe_psql('postgres', "SELECT residual_cancel($job)");

# the model's row is locked while a new version is to be activated
$job = train($node, 'v');
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'done', 'a model');
$log = -s $node->logfile;
holding("SELECT residual_activate('v', 1)");
$job = train($node, 'v');
ok(wait_until(sub { says_that_it_waits($log) }), 'a model that somebody is activating is waited for');
$other->query_safe('COMMIT');
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'done', 'then the job is done');
is($node->safe_psql('postgres', "SELECT version FROM residual_models WHERE model = 'v'"), '2', 'and its version in service');

$other->quit;
$node->stop;
done_testing();
