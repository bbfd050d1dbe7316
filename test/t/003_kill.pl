# kill -9 of the engine, the worker, the server: what it costs, what is left.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;

my $node = start_node('main');

# the engine
my $job = train($node, 'm', max_steps => 100000000);
ok(wait_training($node, $job, 10), 'training');
my $engine = engine_pid($node, $job);
my $session = $node->background_psql('postgres');
is($session->query_safe('SELECT 1'), '1', 'another session');
kill 'KILL', $engine;
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'failed', 'its job fails');
my $row = $node->safe_psql('postgres', "SELECT sqlstate, error, error_hint FROM residual_jobs WHERE job = $job");
like($row, qr/^38000\|engine was terminated by signal 9: Killed\|residual_resume\($job\) goes on from the last checkpoint/,
	'and says why');
is($session->query_safe('SELECT 2'), '2', 'no session is disturbed');
$session->quit;
is($node->safe_psql('postgres', "SELECT residual_resume($job)"), 't', 'residual_resume');
ok(wait_training($node, $job, 20), 'it goes on');

# the worker: the server restarts by its own rule, the engine must not survive
$engine = engine_pid($node, $job);
my $worker = $node->safe_psql('postgres', "SELECT pid FROM residual_jobs WHERE job = $job");
kill 'KILL', $worker;
ok(wait_gone($engine, 5), 'the engine dies with its worker');
ok($node->poll_query_until('postgres', "SELECT state = 'interrupted' FROM residual_jobs WHERE job = $job"),
	'after the restart of the server the job is interrupted');
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'interrupted', 'and residual_wait says so at once');
is($node->safe_psql('postgres', "SELECT residual_resume($job)"), 't', 'residual_resume');
ok(wait_training($node, $job), 'it goes on');

# a stop of the server takes a last checkpoint
$engine = engine_pid($node, $job);
my $step = $node->safe_psql('postgres', "SELECT step FROM residual_progress WHERE job = $job");
$node->stop('fast');
ok(wait_gone($engine, 5), 'a fast stop leaves no engine');
$node->start;
is($node->safe_psql('postgres', "SELECT state, checkpoint_step >= $step FROM residual_jobs WHERE job = $job"), 'interrupted|t',
	'the job is interrupted, with a checkpoint of its last step');

# an immediate stop
$node->safe_psql('postgres', "SELECT residual_resume($job)");
ok(wait_training($node, $job), 'resumed');
$engine = engine_pid($node, $job);
$node->stop('immediate');
ok(wait_gone($engine, 5), 'an immediate stop leaves no engine');
$node->start;
is($node->safe_psql('postgres', "SELECT state FROM residual_jobs WHERE job = $job"), 'interrupted', 'interrupted');

# kill -9 of the postmaster
$node->safe_psql('postgres', "SELECT residual_resume($job)");
ok(wait_training($node, $job), 'resumed');
$engine = engine_pid($node, $job);
$worker = $node->safe_psql('postgres', "SELECT pid FROM residual_jobs WHERE job = $job");
$node->kill9;
ok(wait_gone($engine, 10), 'a killed postmaster leaves no engine');
ok(wait_gone($worker, 10), 'nor a worker');
# where nobody reaps the killed postmaster, its number stays taken: the server would take it for a living one
unlink $node->data_dir . '/postmaster.pid', $node->host . '/.s.PGSQL.' . $node->port . '.lock';
$node->start;
is($node->safe_psql('postgres', "SELECT residual_cancel($job), count(*) > 0 FROM residual.checkpoint WHERE job = $job"), 't|t',
	'the job has its checkpoint');
is($node->safe_psql('postgres', "SELECT state FROM residual_jobs WHERE job = $job"), 'cancelled', 'cancelled');

# no temporary file is left: the spill file has no name from the start
is(scalar(glob($node->data_dir . '/base/pgsql_tmp/*') // ''), '', 'no temporary file is left');

$node->stop;
done_testing();
