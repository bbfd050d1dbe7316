# Jobs on several emulated GPUs: the results of one, checkpoints that move, ranks that die.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;

my $library = $ENV{RESIDUAL_CUDAEMU};
plan skip_all => 'the emulated CUDA device is not built' unless defined $library && -f $library;

my $node = start_node('ranks', "residual.cuda_library = '$library'", "residual.nccl_library = '$library'", 'residual.training_nice = 0');
my %shape = (d_model => 16, d_ffn => 32, layers => 1, batch_tokens => 96, dropout => 0.1,
	max_steps => 40, validate_every => 10, validation => 0.01, checkpoint_every => 0);
my %endless = (%shape, max_steps => 1000000, validate_every => 1000000);

# The processes of the job's further ranks.
sub followers
{
	my ($job) = @_;
	my $pid = engine_pid($node, $job);

	return split ' ', slurp_file("/proc/$pid/task/$pid/children");
}

# A job that trains on two devices; gives its number, and all its processes.
sub start_job
{
	my ($model, %options) = @_;
	my $job = train($node, $model, %endless, device => 'cuda:0,1', %options);

	ok(wait_training($node, $job), "$model trains") or diag($node->safe_psql('postgres', "SELECT * FROM residual_jobs WHERE job = $job"));
	return ($job, engine_pid($node, $job), followers($job));
}

sub all_gone
{
	my ($name, @pids) = @_;

	ok(wait_gone($_), "$name: process $_ is gone") for @pids;
	return;
}

# Losses of two jobs differ by rounding only.
sub like_job
{
	my ($one, $other, $name) = @_;

	is($node->safe_psql('postgres', qq{
		SELECT count(*), max(abs(a.loss / b.loss - 1)) < 1e-4, max(abs(a.validation_loss / b.validation_loss - 1)) < 1e-4
		  FROM residual_training_log a JOIN residual_training_log b ON a.step = b.step WHERE a.job = $one AND b.job = $other}), '4|t|t', $name);
	return;
}

# ---- without what it needs ----

set_environment($node, CUDAEMU_DEVICES => 1);
like(outcome($node, train($node, 'refused', %shape, device => 'cuda:0,1'), 'sqlstate, error_detail'),
	qr/^failed\|0A000\|GPUs are numbered from 0 to 0.\|device "cuda:1" is not there/, 'a second GPU that there is not');
set_environment($node, CUDAEMU_DEVICES => 3);
set_setting($node, 'residual.nccl_library', '/nowhere/libnccl.so.2');
like(outcome($node, train($node, 'refused', %shape, device => 'cuda:0,1'), 'sqlstate, error_detail, error_hint'),
	qr/^failed\|0A000\|.nowhere.libnccl.*\|Install NVIDIA's libnccl2, set residual.nccl_library.*\|several GPUs for one job need NCCL/, 'NCCL that is missing');
set_setting($node, 'residual.nccl_library', $library);

# ---- the results of one device ----

my $one = train($node, 'one', %shape, device => 'cuda:0');
is(outcome($node, $one), 'done|', 'a job on one GPU');
my $two = train($node, 'two', %shape, device => 'cuda:0,1');
is(outcome($node, $two), 'done|', 'the same on two');
like_job($one, $two, '40 steps have the losses of one GPU');
is(outcome($node, train($node, 'again', %shape, device => 'cuda:0,1')), 'done|', 'once more');
is(weights_digest($node, 'again'), weights_digest($node, 'two'), 'gives the same bits');
isnt(weights_digest($node, 'one'), weights_digest($node, 'two'), 'which those of one GPU are not: there were two');
my $three = train($node, 'three', %shape, device => 'cuda:2,0,1', accumulate => 2, batch_tokens => 48, stats_every => 20);
is(outcome($node, $three), 'done|', 'three GPUs, and batches of two parts');
my $single = train($node, 'single', %shape, device => 'cpu', accumulate => 2, batch_tokens => 48, stats_every => 20);
is(outcome($node, $single), 'done|', 'the same on the CPU');
like_job($three, $single, 'have the losses of the CPU');
is($node->safe_psql('postgres', qq{
	SELECT count(DISTINCT a.step), max(abs(a.gradient_norm / b.gradient_norm - 1)) < 1e-2, max(abs(a.update_norm - b.update_norm)) < 1e-4
	  FROM residual_gradient_stats a JOIN residual_gradient_stats b USING (step, tensor)
	 WHERE a.job = $three AND b.job = $single AND b.gradient_norm > 1e-6}), '3|t|t', 'and the norms, before the first step too');

# ---- decisions are the same on all ranks ----

my %half = (%shape, precision => 'float16', max_steps => 20);
my $half = train($node, 'half', %half, device => 'cuda:0');
my $outcome = outcome($node, $half, 'sqlstate');
SKIP:
{
	skip 'the emulation has no 16-bit numbers here: the toolkit is missing', 2 if $outcome =~ /^failed\|0A000/;
	is($outcome, 'done||', 'losses that are scaled, on one GPU');
	my $halves = train($node, 'halves', %half, device => 'cuda:0,1');
	is(outcome($node, $halves), 'done|', 'on two');
	is($node->safe_psql('postgres', qq{
		SELECT count(*), max(abs(a.loss / b.loss - 1)) < 1e-2
		  FROM residual_training_log a JOIN residual_training_log b ON a.step = b.step WHERE a.job = $half AND b.job = $halves}), '2|t', 'are alike');
}
like(outcome($node, train($node, 'diverges', %shape, device => 'cuda:0,1', scheme => 'pre', learning_rate => 10, weight_decay => 10,
		clip_norm => 0, warmup_steps => 0), 'sqlstate'),
	qr/^failed\|22P01\|training diverged: the \w+ of step \d+ is not a finite number$/, 'a job that diverges does so on all');

# ---- checkpoints move ----

for my $move ([ 'cuda:0,1', 'cuda:0' ], [ 'cuda:1', 'cuda:0,1' ])
{
	my ($from, $to) = @$move;
	my $model = $from =~ /,/ ? 'narrower' : 'wider';
	my $job = train($node, $model, %endless, device => $from, checkpoint_every => 5);

	wait_checkpoint($node, $job, 4);
	$node->safe_psql('postgres', "SELECT residual_cancel($job)");
	is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'cancelled', "a job on $from is stopped");
	my $step = $node->safe_psql('postgres', "SELECT checkpoint_step FROM residual_jobs WHERE job = $job");
	my $last = $step + 5;
	$node->safe_psql('postgres', "UPDATE residual.job SET options = options || '{\"device\": \"$to\", \"max_steps\": $last, \"validate_every\": 0}' WHERE id = $job");
	$node->safe_psql('postgres', "SELECT residual_resume($job)");
	is(outcome($node, $job), 'done|', "and goes on on $to");
	my $straight = train($node, "straight_$model", %endless, device => $to, max_steps => $last, validate_every => 0);
	is(outcome($node, $straight), 'done|', "a job without a break");
	is($node->safe_psql('postgres', "SELECT abs(a.validation_loss / b.validation_loss - 1) < 1e-4 FROM residual_versions a, residual_versions b
		WHERE a.model = '$model' AND b.model = 'straight_$model' AND a.step = $last AND b.step = $last"), 't', 'has the same loss');
}

# ---- a rank that dies or fails takes all with it ----

my ($job, $leader, @others) = start_job('loses_follower', device => 'cuda:0,1,2');
is(scalar(@others), 2, 'a process for each further device');
is($node->safe_psql('postgres', "SELECT device FROM residual_progress WHERE job = $job"), 'cuda:0,1,2', 'residual_progress names them');
kill 'KILL', $others[1];
like(outcome($node, $job, 'sqlstate, error_detail, error_hint'),
	qr/^failed\|58000\|It was terminated by signal 9.\|.*resumed.*\|the process of rank 2, device "cuda:2", was lost/, 'a follower is killed: the job says which');
all_gone('a follower was killed', $leader, @others);

($job, $leader, @others) = start_job('loses_leader');
kill 'KILL', $leader;
like(outcome($node, $job, 'sqlstate'), qr/^failed\|38000\|engine was terminated by signal 9/, 'the leader is killed');
all_gone('the leader was killed', $leader, @others);

for my $fault (
	[ 'a kernel', { CUDAEMU_FAIL_KERNEL => 400 }, '58000', 'the GPU failed: an illegal memory access' ],
	[ 'an allocation', { CUDAEMU_FAIL_ALLOC => 3 }, '53200', 'out of memory on the GPU' ])
{
	my ($name, $environment, $sqlstate, $words) = @$fault;

	set_environment($node, CUDAEMU_DEVICES => 2, CUDAEMU_FAIL_DEVICE => 1, %$environment);
	$job = train($node, 'faulty', %endless, device => 'cuda:0,1');
	like(outcome($node, $job, 'sqlstate'), qr/^failed\|$sqlstate\|rank 1, device "cuda:1": \Q$words\E/, "$name fails on the second device");
	ok(wait_until(sub { background_count($node, 'residual training') == 0 }), 'its worker has gone');
}
set_environment($node, CUDAEMU_DEVICES => 2, CUDAEMU_FAIL_DEVICE => 1, CUDAEMU_SPOIL_SUM => 20);
$job = train($node, 'spoiled', %endless, device => 'cuda:0,1', checkpoint_every => 5);
like(outcome($node, $job, 'sqlstate, checkpoint_step'), qr/^failed\|58000\|.*\|rank 1, device "cuda:1", has other weights than rank 0 after step \d+/,
	'a device that computes wrongly is found out at a checkpoint');
set_environment($node, CUDAEMU_DEVICES => 3);

# ---- stops ----

($job, $leader, @others) = start_job('cancelled');
kill 'STOP', $others[0];
ok($node->safe_psql('postgres', "SELECT pg_sleep(0.3), residual_cancel($job)"), 'a cancel while the leader waits for a follower');
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'cancelled', 'cancels');
ok($node->safe_psql('postgres', "SELECT checkpoint_step > 0 FROM residual_jobs WHERE job = $job") eq 't', 'with a last checkpoint');
all_gone('a cancel', $leader, @others);

($job, $leader, @others) = start_job('terminated');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'residual training'");
ok(wait_state($node, $job, 'interrupted'), 'the worker is terminated');
all_gone('a terminated worker', $leader, @others);
ok($node->safe_psql('postgres', "SELECT checkpoint_step > 0 FROM residual_jobs WHERE job = $job") eq 't', 'there is a last checkpoint');

# ---- as a setting ----

set_setting($node, 'residual.device', 'cuda:1,0');
$job = train($node, 'last', %shape, max_steps => 3);
is(outcome($node, $job), 'done|', 'the place on the GPUs is free, the server is up');
is($node->safe_psql('postgres', "SELECT device FROM residual_progress WHERE job = $job"), 'cuda:1,0', 'residual.device may name several');
like($node->safe_psql('postgres', "SELECT residual_translate('one red dogs', 'last') IS NOT NULL"), qr/^t$/, 'serving takes one of them');
like($node->safe_psql('postgres', "SELECT value FROM residual_serving_status() WHERE name = 'device'"), qr/emulated/, 'a GPU');
($job, $leader, @others) = start_job('shut_down');
$node->stop('fast');
all_gone('a shutdown', $leader, @others);

done_testing();
