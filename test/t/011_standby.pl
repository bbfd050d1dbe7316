# A standby shows jobs and starts none; after its promotion the job goes on there.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;

my $primary = start_node('primary', "shared_preload_libraries = 'residual'", 'wal_level = replica', 'max_wal_senders = 4',
	'hot_standby = on');
$primary->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;

my $job = train($primary, 'm', max_steps => 100000000, checkpoint_every => 10);
ok(wait_training($primary, $job, 20), 'a job on the primary');
ok($standby->poll_query_until('postgres', "SELECT step > 20 FROM residual_progress WHERE job = $job"), 'the standby shows its progress');
is($standby->safe_psql('postgres', "SELECT state, residual_job_is_live(job) IS NULL FROM residual_jobs WHERE job = $job"),
	'running|t', 'and does not take it for interrupted');
is($standby->safe_psql('postgres', "SELECT residual_wait($job, '100 ms')"), 'running', 'residual_wait works there');

for my $call ("residual_train('n', 'corpus', 'source', 'target')", "residual_cancel($job)", "residual_resume($job)")
{
	my ($status, $stdout, $stderr) = $standby->psql('postgres', "\\set VERBOSITY verbose\nSELECT $call");
	like($stderr, qr/25006: +cannot execute residual_\w+\(\) during recovery/, "$call");
}
is(background_count($standby, 'residual launcher'), '0', 'no launcher during recovery');

# failover
my $engine = engine_pid($primary, $job);
$primary->stop('immediate');
ok(wait_gone($engine, 5), 'the primary has gone, and the engine with it');
$standby->promote;
ok($standby->poll_query_until('postgres', "SELECT state = 'running' AND engine_pid <> $engine FROM residual.job WHERE id = $job"),
	'after the promotion the launcher takes the job up');
my $step = $standby->safe_psql('postgres', "SELECT checkpoint_step FROM residual_jobs WHERE job = $job");
cmp_ok($step, '>', 0, "from the checkpoint of step $step");
ok(wait_training($standby, $job, $step), 'and it goes on');
$standby->safe_psql('postgres', "SELECT residual_cancel($job)");
is($standby->safe_psql('postgres', "SELECT residual_wait($job)"), 'cancelled', 'until it is cancelled');

$standby->stop;
done_testing();
