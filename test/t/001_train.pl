# A job and the transaction that starts it, without the library being preloaded.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;

my $node = start_node('main', 'max_prepared_transactions = 2');
my $call = "residual_train('%s', 'corpus', 'source', 'target', '" . tiny() . "')";
my ($status, $stdout, $stderr);

# the whole way
my $job = train($node, 'first');
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'done', 'a job is done');
is($node->safe_psql('postgres', "SELECT version, pairs + held_out, rows_empty, reason, checkpoint_step IS NULL FROM residual_jobs WHERE job = $job"),
	'1|400|0|max_steps|t', 'what it did stands in its row');
is($node->safe_psql('postgres', "SELECT version, encoder_layers FROM residual_models WHERE model = 'first'"), '1|1',
	'the first version is in service');
is($node->safe_psql('postgres', "SELECT count(*) FROM residual.checkpoint"), '0', 'checkpoints go when a job is done');
is($node->safe_psql('postgres', "SELECT residual_wait($job, '0')"), 'done', 'residual_wait on a job that has ended');
cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM residual_gradient_stats WHERE job = $job AND step = 0"), '>', 5,
	'gradient statistics at step 0');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'residual training'"),
	'its worker has gone');

# a second version
$job = train($node, 'first', seed => 2);
$node->safe_psql('postgres', "SELECT residual_wait($job)");
is($node->safe_psql('postgres', "SELECT string_agg(version || ' ' || active, ', ' ORDER BY version) FROM residual_versions WHERE model = 'first'"),
	'1 false, 2 true', 'a new version of a model is put in service');
$job = train($node, 'first', seed => 3, activate => 'false');
$node->safe_psql('postgres', "SELECT residual_wait($job)");
is($node->safe_psql('postgres', "SELECT string_agg(version || ' ' || active, ', ' ORDER BY version) FROM residual_versions WHERE model = 'first'"),
	'1 false, 2 true, 3 false', 'unless option activate says otherwise');

# rollback, savepoint, PREPARE
$node->safe_psql('postgres', "BEGIN; SELECT " . sprintf($call, 'rolled_back') . "; ROLLBACK");
is($node->safe_psql('postgres', "SELECT count(*) FROM residual_jobs WHERE model = 'rolled_back'"), '0', 'a rollback takes the job along');
$node->safe_psql('postgres', "BEGIN; SAVEPOINT s; SELECT " . sprintf($call, 'savepoint_no') . "; ROLLBACK TO s; SAVEPOINT t; SELECT "
	. sprintf($call, 'savepoint_yes') . "; RELEASE t; COMMIT");
is($node->safe_psql('postgres', "SELECT residual_wait(job) FROM residual_jobs WHERE model = 'savepoint_yes'"), 'done',
	'a job in a released savepoint runs');
is($node->safe_psql('postgres', "SELECT count(*) FROM residual_jobs WHERE model = 'savepoint_no'"), '0', 'one in a rolled back savepoint does not');
unlike(slurp_file($node->logfile), qr/residual training.*does not exist|its row has been removed/, 'no worker started for nothing');

($status, $stdout, $stderr) = $node->psql('postgres', "\\set VERBOSITY sqlstate\nBEGIN; SELECT " . sprintf($call, 'prepared') . "; PREPARE TRANSACTION 'p'");
like($stderr, qr/0A000/, 'PREPARE TRANSACTION is refused');
is($node->safe_psql('postgres', "SELECT count(*) FROM residual_jobs WHERE model = 'prepared'"), '0', 'and starts nothing');

# waiting for one's own job
($status, $stdout, $stderr) = $node->psql('postgres', "BEGIN; SELECT " . sprintf($call, 'own') . " AS j \\gset\nSELECT residual_wait(:j); ROLLBACK");
like($stderr, qr/starts when this transaction commits/, 'waiting for a job of the same transaction is an error');

# two jobs on one model at once
$job = train($node, 'busy', max_steps => 100000000);
($status, $stdout, $stderr) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT " . sprintf($call, 'busy'));
like($stderr, qr/55006.*model "busy" is being trained by job $job/s, 'a second job on the model is refused');
ok(wait_training($node, $job), 'the first one trains');
like($node->safe_psql('postgres', "SELECT query FROM pg_stat_activity WHERE backend_type = 'residual training'"),
	qr/^residual: job $job step \d+\/100000000$/, 'pg_stat_activity tells what it does');
ok($node->poll_query_until('postgres', "SELECT xact_start IS NULL AND backend_xmin IS NULL FROM pg_stat_activity WHERE backend_type = 'residual training'"),
	'no transaction is open while the engine computes');
is($node->safe_psql('postgres', "SELECT residual_wait($job, '100 ms')"), 'running', 'residual_wait gives up in time');
is($node->safe_psql('postgres', "SELECT residual_resume($job)"), 'f', 'a running job cannot be resumed');

# residual.max_jobs
$node->append_conf('postgresql.conf', 'residual.max_jobs = 1');
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('residual.max_jobs') = '1'");
($status, $stdout, $stderr) = $node->psql('postgres', "SELECT " . sprintf($call, 'second'));
like($stderr, qr/WARNING:  1 training jobs run already: job \d+ stays queued.*residual_resume\(/s, 'over residual.max_jobs a job stays queued');
my $second = $stdout;
ok(wait_until(sub { slurp_file($node->logfile) =~ /LOG:  training job $second stays queued: 1 jobs run already/ }), 'its worker finds no place');
is($node->safe_psql('postgres', "SELECT residual_cancel($job)"), 't', 'residual_cancel');
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'cancelled', 'cancelled');
is($node->safe_psql('postgres', "SELECT residual_cancel($job)"), 'f', 'a job that has ended cannot be cancelled');
is($node->safe_psql('postgres', "SELECT residual_wait($second)"), 'done', 'the other one has started then, and is done');

# no free worker
$node->append_conf('postgresql.conf', "max_worker_processes = 0\nmax_parallel_workers = 0");
$node->restart;
($status, $stdout, $stderr) = $node->psql('postgres', "SELECT " . sprintf($call, 'no_worker'));
like($stderr, qr/WARNING:  no background worker is free: job \d+ stays queued.*residual_resume\(\d+\), or raise max_worker_processes/s,
	'no free worker is a warning');
$job = $stdout;
is($node->safe_psql('postgres', "SELECT state FROM residual_jobs WHERE job = $job"), 'queued', 'and the job stays queued');
is($node->safe_psql('postgres', "SELECT residual_wait($job, '1 s')"), 'queued', 'residual_wait says so');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
$node->safe_psql('postgres', "SELECT residual_resume($job)");
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'done', 'residual_resume starts it later');

$node->stop;
done_testing();
