# ResidualTest.pm: what the tests of servers share: a cluster with the staged
# installation, a generated corpus, tiny jobs, and looks at processes.
package ResidualTest;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(start_node make_corpus tiny train wait_state wait_training wait_checkpoint outcome wait_until
  set_setting set_environment engine_pid process_lives wait_gone weights_digest background_count as_role);

my $stage = $ENV{RESIDUAL_STAGE} // die "RESIDUAL_STAGE is not set";
my $library = `pg_config --pkglibdir`;
chomp $library;

# A server with the extension in database postgres and a corpus of 400 pairs; further arguments: lines of configuration.
sub start_node
{
	my ($name, @lines) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(extra => [ '-E', 'UTF8', '--locale=C.UTF-8' ]);
	$node->append_conf('postgresql.conf', join("\n",
		"extension_destdir = '$stage'",
		"dynamic_library_path = '$stage$library:\$libdir'",
		"residual.engine = '$stage$library/residual_engine'",
		"max_worker_processes = 16",
		"log_min_messages = info",
		"restart_after_crash = on",
		@lines) . "\n");
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION residual');
	make_corpus($node, 'postgres', 'corpus', 400);
	return $node;
}

# Sentences of a small grammar and their word by word translations; no two are the same.
sub make_corpus
{
	my ($node, $database, $table, $rows) = @_;

	$node->safe_psql($database, qq{
		CREATE TABLE $table (id bigint, source text, target text);
		INSERT INTO $table
		SELECT i,
		       (ARRAY['one','two','three','four','five','six','seven'])[1 + i % 7] || ' ' ||
		       (ARRAY['red','green','blue','white','black'])[1 + i / 7 % 5] || ' ' ||
		       (ARRAY['dogs','cats','birds','fish'])[1 + i / 35 % 4] || ' see ' || i,
		       (ARRAY['eins','zwei','drei','vier','funf','sechs','sieben'])[1 + i % 7] || ' ' ||
		       (ARRAY['rot','grun','blau','weiss','schwarz'])[1 + i / 7 % 5] || ' ' ||
		       (ARRAY['hunde','katzen','vogel','fische'])[1 + i / 35 % 4] || ' sehen ' || i
		  FROM generate_series(1, $rows) i});
	return;
}

# Options of a model that is trained in no time, as JSON; arguments: further options.
sub tiny
{
	my (%options) = (
		layers => 1, d_model => 16, d_ffn => 32, heads => 2, max_length => 32,
		batch_tokens => 256, warmup_steps => 10, threads => 1, max_steps => 20, patience => 0,
		validate_every => 1000000, checkpoint_every => 5, stats_every => 0, @_);

	return '{' . join(', ', map { "\"$_\": " . ($options{$_} =~ /^[\d.]+$/ ? $options{$_} : "\"$options{$_}\"") }
		sort keys %options) . '}';
}

# Start a job with tiny() options; gives its number.
sub train
{
	my ($node, $model, %options) = @_;
	my $database = delete $options{database} // 'postgres';
	my $corpus = delete $options{corpus} // 'corpus';

	return $node->safe_psql($database,
		"SELECT residual_train('$model', '$corpus', 'source', 'target', '" . tiny(%options) . "')");
}

# Poll something; 1 when it came true in time.
sub wait_until
{
	my ($check, $seconds) = @_;
	my $end = time + ($seconds // $PostgreSQL::Test::Utils::timeout_default);

	while (time < $end)
	{
		return 1 if $check->();
		sleep 0.05;
	}
	return 0;
}

# Wait until a job has the state that residual_jobs shows; 1 when it got there.
sub wait_state
{
	my ($node, $job, $state, $database) = @_;

	return $node->poll_query_until($database // 'postgres',
		"SELECT state = '$state' FROM residual_jobs WHERE job = $job");
}

# Wait until a job makes steps, beyond the given one.
sub wait_training
{
	my ($node, $job, $step, $database) = @_;

	$step //= 0;
	return $node->poll_query_until($database // 'postgres',
		"SELECT state = 'running' AND phase = 'training' AND step > $step FROM residual_progress WHERE job = $job");
}

# Wait until a running job has a checkpoint beyond the given step.
sub wait_checkpoint
{
	my ($node, $job, $step) = @_;

	return $node->poll_query_until('postgres',
		"SELECT state = 'running' AND checkpoint_step > $step FROM residual_jobs WHERE job = $job");
}

# Wait for the end of a job; gives its state and what residual_jobs has in the further columns.
sub outcome
{
	my ($node, $job, $columns, $database) = @_;

	$database //= 'postgres';
	$node->safe_psql($database, "SELECT residual_wait($job)");
	return $node->safe_psql($database, "SELECT " . join(', ', 'state', $columns // (), 'error') . " FROM residual_jobs WHERE job = $job");
}

# A line of the configuration, in force on return.
sub set_setting
{
	my ($node, $name, $value) = @_;

	$node->append_conf('postgresql.conf', "$name = '$value'");
	$node->reload;
	return $node->poll_query_until('postgres', "SELECT current_setting('$name') = '$value'");
}

# Engines that start from now on have this in their environment, or nothing of ours.
sub set_environment
{
	my ($node, %environment) = @_;
	my $engine = "$stage$library/residual_engine";
	my $path = abs_path($node->basedir) . '/engine.sh';

	unlink $path;
	append_to_file($path, "#!/bin/sh\n" . join('', map { "export $_=$environment{$_}\n" } sort keys %environment) .
		"exec $engine \"\$@\"\n");
	chmod 0755, $path;
	return set_setting($node, 'residual.engine', %environment ? $path : $engine);
}

sub engine_pid
{
	my ($node, $job, $database) = @_;

	return $node->safe_psql($database // 'postgres', "SELECT engine_pid FROM residual.job WHERE id = $job");
}

# A zombie that nobody reaps is dead.
sub process_lives
{
	my ($pid) = @_;
	my $stat = '';

	if (open(my $file, '<', "/proc/$pid/stat"))
	{
		$stat = <$file> // '';
		close $file;
	}
	return $stat =~ /^\d+ \(.*\) ([^ZX]) /s;
}

sub wait_gone
{
	my ($pid, $seconds) = @_;

	return wait_until(sub { !process_lives($pid) }, $seconds);
}

# Of all weights of a version, for comparing bit for bit.
sub weights_digest
{
	my ($node, $model, $version) = @_;

	$version //= 1;
	return $node->safe_psql('postgres', qq{
		SELECT count(*) || ' ' || md5(string_agg(tensor || part || md5(bytes), '' ORDER BY tensor COLLATE "C", part))
		  FROM residual.weight w JOIN residual.model m ON m.id = w.model
		 WHERE m.name = '$model' AND version = $version});
}

# Processes of the server of that type.
sub background_count
{
	my ($node, $type) = @_;

	return $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = '$type'");
}

# psql as another role; gives (status, stdout, stderr).
sub as_role
{
	my ($node, $role, $sql, $database) = @_;
	my ($stdout, $stderr) = ('', '');
	my $status = $node->psql($database // 'postgres', $sql, stdout => \$stdout, stderr => \$stderr,
		extra_params => [ '-U', $role ]);

	return ($status, $stdout, $stderr);
}

1;
