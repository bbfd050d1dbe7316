# A run that was broken off ends with the same weights, bit for bit, as one that was not.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;

my $node = start_node('main');
my %options = (max_steps => 3000, checkpoint_every => 50, dropout => 0.2, validation => 0.05, validate_every => 500,
	average_checkpoints => 2, threads => 2);

my $whole = train($node, 'whole', %options);
is($node->safe_psql('postgres', "SELECT residual_wait($whole)"), 'done', 'a run without a break');
my $digest = weights_digest($node, 'whole');
like($digest, qr/^[1-9]\d* [0-9a-f]{32}$/, 'its weights');
my $again = train($node, 'again', %options);
$node->safe_psql('postgres', "SELECT residual_wait($again)");
is(weights_digest($node, 'again'), $digest, 'the same job ends with the same weights');
my $other = train($node, 'other', %options, seed => 7, max_steps => 60);
$node->safe_psql('postgres', "SELECT residual_wait($other)");
isnt(weights_digest($node, 'other'), $digest, 'another seed does not');

# broken off three times, each time in another way
my $job = train($node, 'broken', %options);
ok(wait_checkpoint($node, $job, 60), 'a run to be broken off');
kill 'KILL', engine_pid($node, $job);
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'failed', 'by kill -9 of its engine');
$node->safe_psql('postgres', "SELECT residual_resume($job)");
my $step = $node->safe_psql('postgres', "SELECT checkpoint_step FROM residual_jobs WHERE job = $job");
ok(wait_checkpoint($node, $job, $step), 'resumed');
$node->safe_psql('postgres', "SELECT residual_cancel($job)");
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'cancelled', 'by residual_cancel');
$node->safe_psql('postgres', "SELECT residual_resume($job)");
$step = $node->safe_psql('postgres', "SELECT checkpoint_step FROM residual_jobs WHERE job = $job");
ok(wait_checkpoint($node, $job, $step), 'resumed');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'interrupted', 'by an immediate stop of the server');
$step = $node->safe_psql('postgres', "SELECT checkpoint_step FROM residual_jobs WHERE job = $job");
cmp_ok($step, '<', $options{max_steps}, "at step $step");
$node->safe_psql('postgres', "SELECT residual_resume($job)");
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'done', 'done in the end');
is(weights_digest($node, 'broken'), $digest, 'with the same weights, bit for bit');
is($node->safe_psql('postgres', "SELECT note IS NULL FROM residual_jobs WHERE job = $job"), 't', 'and nothing to note');
is($node->safe_psql('postgres', qq{SELECT count(*) FROM
	(SELECT step, validation_loss, validation_nll, loss, best FROM residual_training_log WHERE job = $job EXCEPT
	 SELECT step, validation_loss, validation_nll, loss, best FROM residual_training_log WHERE job = $whole) d}), '0',
	'and the same log');

# another order of the rows is the same data
$node->safe_psql('postgres', "CREATE VIEW turned AS SELECT * FROM corpus ORDER BY id DESC");
my $turned = train($node, 'turned', %options, corpus => 'turned');
$node->safe_psql('postgres', "SELECT residual_wait($turned)");
is(weights_digest($node, 'turned'), $digest, 'the order of the rows does not matter');

# rows that change in between
$job = train($node, 'changed', %options);
ok(wait_checkpoint($node, $job, 60), 'a run whose rows change');
$node->safe_psql('postgres', "SELECT residual_cancel($job)");
$node->safe_psql('postgres', "SELECT residual_wait($job)");
$node->safe_psql('postgres', "DELETE FROM corpus WHERE id % 10 = 0");
$node->safe_psql('postgres', "SELECT residual_resume($job)");
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'done', 'goes on');
like($node->safe_psql('postgres', "SELECT note FROM residual_jobs WHERE job = $job"), qr/^rows of the corpus have changed/,
	'and its row says that they have');
like(slurp_file($node->logfile), qr/WARNING:  rows of public\.corpus have changed since job $job began/, 'as does the log');

$node->stop;
done_testing();
