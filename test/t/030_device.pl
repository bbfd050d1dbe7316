# Training and serving on CUDA, in emulation: the CPU's results, checkpoints that move, faults that are told.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;

my $library = $ENV{RESIDUAL_CUDAEMU};
plan skip_all => 'the emulated CUDA device is not built' unless defined $library && -f $library;

my $node = start_node('device', "residual.cuda_library = '$library'", 'residual.serve_threads = 1', 'residual.training_nice = 0');
my %shape = (d_model => 32, d_ffn => 64, layers => 1, batch_tokens => 96, dropout => 0.1,
	max_steps => 50, validate_every => 10, validation => 0.01, checkpoint_every => 0);

# ---- the devices that there are ----

is($node->safe_psql('postgres', "SELECT device, name, capability, memory > 0, note IS NULL FROM residual_devices WHERE device <> 'cpu'"),
	'cuda:0|emulated GPU|9.0|t|t', 'residual_devices');
is($node->safe_psql('postgres', "SELECT memory > 0, processors > 0, note IS NULL FROM residual_devices WHERE device = 'cpu'"), 't|t|t',
	'the CPU is one of them');
ok($node->poll_query_until('postgres', "SELECT value = '0' FROM residual_serving_status() WHERE name = 'apart'"), 'the process that has looked ends');

# ---- the CPU's results ----

my $cpu = train($node, 'on_cpu', %shape, device => 'cpu');
is(outcome($node, $cpu), 'done|', 'a job on the CPU');
my $gpu = train($node, 'on_gpu', %shape, device => 'cuda');
is(outcome($node, $gpu), 'done|', 'the same on the emulated GPU');
is($node->safe_psql('postgres', "SELECT string_agg(device, ' ' ORDER BY job) FROM residual_progress WHERE job IN ($cpu, $gpu)"), 'cpu cuda:0',
	'residual_progress says which');
is($node->safe_psql('postgres', qq{
	SELECT count(*), max(abs(a.loss / b.loss - 1)) < 1e-3, max(abs(a.validation_loss / b.validation_loss - 1)) < 1e-3,
	       bool_or(a.loss <> b.loss)
	  FROM residual_training_log a JOIN residual_training_log b ON a.step = b.step WHERE a.job = $cpu AND b.job = $gpu}), '5|t|t|t',
	'50 steps have the CPU\'s losses, to a thousandth, and not by having run there');
is($node->safe_psql('postgres', "SELECT l.loss > f.loss FROM residual_training_log f, residual_training_log l
	WHERE f.job = $gpu AND f.step = 10 AND l.job = $gpu AND l.step = 50"), 'f', 'and fall');

# ---- memory ----

# what steps, evaluations and the beam searches of validations take is there before the first kernel runs
set_environment($node, CUDAEMU_LAST_ALLOC => 1);
is(outcome($node, train($node, 'reserved', %shape, device => 'cuda', max_steps => 6, validate_every => 2, validation => 0.05, validation_beam => 3)),
	'done|', 'nothing asks the GPU for memory once a job has begun');
set_environment($node, CUDAEMU_MEMORY => 40);
like(outcome($node, train($node, 'refused', %shape, device => 'cuda', max_steps => 3), 'sqlstate, error_hint'),
	qr/^failed\|54000\|.*lower batch_tokens.*\|training this model needs more memory than is allowed/, 'too little is refused');
like($node->safe_psql('postgres', "SELECT error_detail FROM residual_jobs WHERE model = 'refused' ORDER BY job DESC LIMIT 1"),
	qr/It needs \d+ kB: .* kB are allowed/, 'with numbers');
set_environment($node);

# ---- serving: on the CPU, then on the GPU ----

my $query = "SELECT string_agg(residual_translate(source, '%s', '{\"beam\": 2, \"max_length\": 12}'), '/' ORDER BY id) FROM corpus WHERE id <= 4";
$node->append_conf('postgresql.conf', "residual.device = 'cpu'");
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('residual.device') = 'cpu'");
my $words = $node->safe_psql('postgres', sprintf($query, 'on_cpu'));
is($node->safe_psql('postgres', sprintf($query, 'on_gpu')), $words, 'a model from the GPU translates as that from the CPU');
my $score = $node->safe_psql('postgres', "SELECT residual_score(source, target, 'on_gpu') FROM corpus WHERE id = 5");
unlike($node->safe_psql('postgres', "SELECT value FROM residual_serving_status() WHERE name = 'device'"), qr/emulated/, 'on the CPU');
$node->append_conf('postgresql.conf', "residual.device = 'cuda'");
$node->reload;
$node->poll_query_until('postgres', "SELECT value LIKE '%emulated GPU%' FROM residual_serving_status() WHERE name = 'device'") or
	diag($node->safe_psql('postgres', "SELECT * FROM residual_serving_status()"));
is($node->safe_psql('postgres', sprintf($query, 'on_gpu')), $words, 'the GPU translates as the CPU');
cmp_ok(abs($node->safe_psql('postgres', "SELECT residual_score(source, target, 'on_gpu') FROM corpus WHERE id = 5") - $score), '<', 1e-3,
	'and scores as it');

# a fault on the GPU ends the engine, not the server
set_environment($node, CUDAEMU_FAIL_KERNEL => 30);
my ($status, $stdout, $stderr) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . sprintf($query, 'on_gpu'));
like($stderr, qr/ERROR:  08006: the serving engine ended 3 times/, 'a GPU that fails each time is an error of the query');
like(slurp_file($node->logfile), qr/engine \d+: the GPU failed: an illegal memory access/, 'and the log says what failed');
set_environment($node);
is($node->safe_psql('postgres', sprintf($query, 'on_gpu')), $words, 'and the next one is answered');

# ---- a checkpoint moves ----

for my $move ([ 'cpu', 'cuda' ], [ 'cuda', 'cpu' ])
{
	my ($from, $to) = @$move;
	my $job = train($node, "from_$from", %shape, device => $from, max_steps => 1000000, checkpoint_every => 5, validate_every => 1000000);

	wait_checkpoint($node, $job, 4);
	$node->safe_psql('postgres', "SELECT residual_cancel($job)");
	is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'cancelled', "a job on $from is stopped");
	my $step = $node->safe_psql('postgres', "SELECT checkpoint_step FROM residual_jobs WHERE job = $job");
	$node->safe_psql('postgres', "UPDATE residual.job SET options = options || '{\"device\": \"$to\"}' || jsonb_build_object('max_steps', $step + 5) WHERE id = $job");
	$node->safe_psql('postgres', "SELECT residual_resume($job)");
	is(outcome($node, $job), 'done|', "and goes on on $to");
	is($node->safe_psql('postgres', "SELECT step FROM residual_versions WHERE model = 'from_$from'"), $step + 5, 'from its checkpoint');
}

# ---- faults ----

for my $fault (
	[ 'the first allocation', { CUDAEMU_FAIL_ALLOC => 1 }, '53200', 'out of memory' ],
	[ 'a later allocation', { CUDAEMU_FAIL_ALLOC => 4 }, '53200', 'out of memory' ],
	[ 'little memory', { CUDAEMU_MEMORY => 1 }, '54000', 'needs more memory than is allowed' ],
	[ 'a copy', { CUDAEMU_FAIL_COPY => 40 }, '58000', 'the GPU failed: unspecified launch failure: cudaMemcpy' ],
	[ 'a kernel', { CUDAEMU_FAIL_KERNEL => 200 }, '58000', 'the GPU failed: an illegal memory access' ])
{
	my ($name, $environment, $sqlstate, $words) = @$fault;

	set_environment($node, %$environment);
	my $job = train($node, 'faulty', %shape, device => 'cuda', max_steps => 5);
	like(outcome($node, $job, 'sqlstate'), qr/^failed\|$sqlstate\|.*\Q$words\E/, "$name fails: so does the job, and says why");
	isnt($node->safe_psql('postgres', "SELECT error_hint FROM residual_jobs WHERE job = $job"), '', 'with a hint');
	ok(wait_until(sub { background_count($node, 'residual training') == 0 }), 'its worker has gone');
}
set_environment($node);
is(outcome($node, train($node, 'faulty', %shape, device => 'cuda', max_steps => 5)), 'done|', 'the place on the GPU is free again');

# ---- places on the GPU ----

my $first = train($node, 'first', %shape, device => 'cuda', max_steps => 1000000, validate_every => 1000000);
ok(wait_training($node, $first), 'a job has the GPU');
my $second = train($node, 'second', %shape, device => 'cuda', max_steps => 3);
ok($node->poll_query_until('postgres', "SELECT phase = 'waiting for a GPU' FROM residual_progress WHERE job = $second"), 'a second one waits for it');
$node->safe_psql('postgres', "SELECT residual_cancel($second)");
is($node->safe_psql('postgres', "SELECT residual_wait($second)"), 'cancelled', 'and can be cancelled');
$node->safe_psql('postgres', "SELECT residual_resume($second)");
ok($node->poll_query_until('postgres', "SELECT phase = 'waiting for a GPU' FROM residual_progress WHERE job = $second"), 'and resumed');
$node->safe_psql('postgres', "SELECT residual_cancel($first)");
is(outcome($node, $second), 'done|', 'it starts when the first has gone');

$node->append_conf('postgresql.conf', 'residual.max_gpu_jobs = 0');
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('residual.max_gpu_jobs') = '0'");
like(outcome($node, train($node, 'refused', %shape, device => 'cuda', max_steps => 3), 'sqlstate, error_hint'),
	qr/^failed\|53400\|Raise residual.max_gpu_jobs.*\|no training job may use a GPU/, 'none where no job may have one');
is(outcome($node, train($node, 'fallback', %shape, device => 'auto', max_steps => 3)), 'done|', 'auto takes the CPU then');
like(slurp_file($node->logfile), qr/takes the CPU: all places on GPUs are taken/, 'and the log says so');
$node->append_conf('postgresql.conf', 'residual.max_gpu_jobs = 1');
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('residual.max_gpu_jobs') = '1'");

# ---- without a GPU ----

set_environment($node, CUDAEMU_DEVICES => 0);
my $fallback = train($node, 'fallback', %shape, device => 'auto', max_steps => 3);
is(outcome($node, $fallback), 'done|', 'auto takes the CPU when there is no GPU');
like(slurp_file($node->logfile), qr/training on the CPU: no GPU can be used/, 'and the log says why');
like(outcome($node, train($node, 'refused', %shape, device => 'cuda', max_steps => 3), 'sqlstate'), qr/^failed\|0A000\|no GPU can be used/, 'cuda does not');
set_environment($node);
like(outcome($node, train($node, 'refused', %shape, device => 'cuda:7', max_steps => 3), 'sqlstate'), qr/^failed\|0A000\|device "cuda:7" is not there/,
	'a GPU that there is not');
$node->append_conf('postgresql.conf', "residual.cuda_library = '/nowhere/residual_cuda.so'");
$node->reload;
$node->poll_query_until('postgres', "SELECT note LIKE '%/nowhere/residual_cuda.so%' FROM residual_devices WHERE device = 'cuda'");
like($node->safe_psql('postgres', "SELECT note FROM residual_devices WHERE device = 'cuda'"), qr/device "cuda" is not available/, 'residual_devices says that the library is missing');
like(outcome($node, train($node, 'refused', %shape, device => 'cuda', max_steps => 3), 'sqlstate, error_hint'),
	qr/^failed\|0A000\|Build residual where the CUDA toolkit is.*\|device "cuda" is not available/, 'a job for it fails with a hint');
($status, $stdout, $stderr) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . sprintf($query, 'on_gpu'));
like($stderr, qr/ERROR:  0A000: device "cuda" is not available.*HINT:  Build residual/s, 'so does a query, while residual.device insists on it');
is(outcome($node, train($node, 'fallback', %shape, device => 'auto', max_steps => 3)), 'done|', 'auto takes the CPU without the library');

done_testing();
