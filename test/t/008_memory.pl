# Memory and disk: the worker's do not grow with the table; what is too much fails the job.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;

my $node = start_node('main', 'fsync = off', 'shared_buffers = 16MB', 'max_wal_size = 4GB');

# Memory of its own at its highest, in kB: what it shares with the server does not count.
sub private_peak
{
	my ($pid, $peak) = @_;

	if (open(my $file, '<', "/proc/$pid/status"))
	{
		my %value = map { /^(\w+):\s+(\d+) kB/ ? ($1 => $2) : () } <$file>;
		close $file;
		$peak = $value{RssAnon} if defined $value{RssAnon} && $value{RssAnon} > $peak;
	}
	return $peak;
}

# Run a job of two steps on so many rows; gives the peaks of worker and engine in kB.
sub peaks_of
{
	my ($rows) = @_;
	my ($worker, $engine) = (0, 0);

	make_corpus($node, 'postgres', "corpus_$rows", $rows);
	my $job = train($node, "m$rows", corpus => "corpus_$rows", max_steps => 2, validation => 0, vocab_size => 200, tokenizer => 'bpe');
	wait_until(sub {
		my ($state, $pid, $engine_pid) = split(/\|/, $node->safe_psql('postgres',
			"SELECT state, COALESCE(pid, 0), COALESCE(engine_pid, 0) FROM residual.job WHERE id = $job"));
		for (1 .. 20)
		{
			$worker = private_peak($pid, $worker);
			$engine = private_peak($engine_pid, $engine);
			select(undef, undef, undef, 0.005);
		}
		return $state ne 'queued' && $state ne 'running';
	}, 300);
	is($node->safe_psql('postgres', "SELECT state, pairs FROM residual_jobs WHERE job = $job"), "done|$rows", "$rows rows");
	$node->safe_psql('postgres', "DROP TABLE corpus_$rows");
	note("$rows rows: worker $worker kB, engine $engine kB");
	return ($worker, $engine);
}

my ($worker_small, $engine_small) = peaks_of(100000);
my ($worker_large, $engine_large) = peaks_of(1000000);
cmp_ok($worker_large, '<', $worker_small + 4096, 'the worker takes no more for ten times as many rows');
cmp_ok($engine_large, '<', 1.25 * $engine_small + 65536, 'nor does the engine');

# rows of megabytes
$node->safe_psql('postgres', q{
	CREATE TABLE wide AS SELECT source, target FROM corpus;
	INSERT INTO wide SELECT repeat('word ', 1000000), 'x' FROM generate_series(1, 20)});
my $job = train($node, 'wide', corpus => 'wide');
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'done', 'rows of 5 MB');
is($node->safe_psql('postgres', "SELECT pairs + held_out, rows_long FROM residual_jobs WHERE job = $job"), '400|20', 'are counted as too long');

# temp_file_limit
$node->safe_psql('postgres', "ALTER SYSTEM SET temp_file_limit = '64kB'");
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('temp_file_limit') = '64kB'");
make_corpus($node, 'postgres', 'large', 20000);
$job = train($node, 'limited', corpus => 'large');
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'failed', 'over temp_file_limit a job fails');
like($node->safe_psql('postgres', "SELECT sqlstate, error, error_hint FROM residual_jobs WHERE job = $job"),
	qr/^53100\|.*temp_file_limit/, 'and says why');
$node->safe_psql('postgres', "ALTER SYSTEM RESET temp_file_limit");
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('temp_file_limit') = '-1'");
$node->safe_psql('postgres', "SELECT residual_resume($job)");
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'done', 'it can be resumed when there is room');

# residual.training_memory
$node->append_conf('postgresql.conf', "residual.training_memory = '1MB'");
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('residual.training_memory') = '1MB'");
$job = train($node, 'no_memory', d_model => 512, d_ffn => 2048);
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'failed', 'over residual.training_memory a job fails');
like($node->safe_psql('postgres', "SELECT sqlstate, error, error_hint FROM residual_jobs WHERE job = $job"), qr/^54000\|training this model needs more memory than is allowed\|.*residual\.training_memory/, 'and says why');

$node->stop;
done_testing();
