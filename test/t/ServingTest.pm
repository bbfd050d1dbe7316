# ServingTest.pm: what the tests of serving share: a model that was learned by
# heart, looks at the serving engine, and requests that take long.
package ServingTest;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

use ResidualTest;

our @EXPORT = qw(learn serving serving_pid supervisor_pid engines ask fails kill_engine
  long_request timed start_psql finish_psql);

# A model that knows ten sentences by heart, and the table "pairs" that it was trained on.
sub learn
{
	my ($node, $model, $database) = @_;
	my $job;

	$database //= 'postgres';
	$node->safe_psql($database, q{
		CREATE TABLE IF NOT EXISTS pairs (en text, de text);
		TRUNCATE pairs;
		INSERT INTO pairs VALUES
			('the dog sees the cat', 'der hund sieht die katze'),
			('the cat sees the dog', 'die katze sieht den hund'),
			('the bird sings', 'der vogel singt'),
			('the house is old', 'das haus ist alt'),
			('the car is new', 'das auto ist neu'),
			('we drink water', 'wir trinken wasser'),
			('they eat bread', 'sie essen brot'),
			('a green tree', 'ein gruner baum'),
			('good morning', 'guten morgen'),
			('good night', 'gute nacht')});
	$job = $node->safe_psql($database, qq{
		SELECT residual_train('$model', 'pairs', 'en', 'de',
			'{"layers": 1, "d_model": 32, "d_ffn": 64, "heads": 2, "max_length": 128, "threads": 1, "dropout": 0,
			  "label_smoothing": 0, "batch_tokens": 256, "learning_rate": 0.01, "warmup_steps": 20,
			  "max_steps": 200, "validation": "0"}')});
	$node->safe_psql($database, "SELECT residual_wait($job)");
	return;
}

# A figure that the serving engine gives of itself; '' when none runs.
sub serving
{
	my ($node, $name, $database) = @_;

	return $node->safe_psql($database // 'postgres', "SELECT value FROM residual_serving_status() WHERE name = '$name'");
}

sub serving_pid
{
	my ($node) = @_;

	return serving($node, 'pid');
}

# '' when there is none.
sub supervisor_pid
{
	my ($node) = @_;

	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'residual serving'");
}

# Children of a process, which of a supervisor are engines.
sub engines
{
	my ($supervisor) = @_;

	return grep { /^\d+$/ && process_lives($_) } split(/\s+/, `pgrep -P $supervisor 2>/dev/null`);
}

sub ask
{
	my ($node, $text, $model, $database) = @_;

	return $node->safe_psql($database // 'postgres', "SELECT residual_translate('$text', '$model')");
}

# The SQLSTATE, message and hint of a statement that fails, in a line; '' when it does not.
sub fails
{
	my ($node, $sql, $database) = @_;
	my ($stdout, $stderr) = ('', '');

	$node->psql($database // 'postgres', "\\set VERBOSITY verbose\n$sql", stdout => \$stdout, stderr => \$stderr);
	$stderr =~ s/\s+/ /g;
	return $stderr;
}

# kill -9; 1 when it has gone.
sub kill_engine
{
	my ($pid) = @_;

	kill 'KILL', $pid;
	return wait_gone($pid);
}

# A statement that keeps the engine busy for some seconds; sentences: how many.
sub long_request
{
	my ($model, $sentences) = @_;

	$sentences //= 3000;

	return "SELECT cardinality(residual_translate(array_agg(repeat('the dog sees ', 20) || i), '$model', "
	  . "'{\"beam\": 32, \"max_length\": 120}')) FROM generate_series(1, $sentences) i";
}

# Seconds that something takes.
sub timed
{
	my ($code) = @_;
	my $start = time;

	$code->();
	return time - $start;
}

# psql in the background: { harness, out, err }.
sub start_psql
{
	my ($node, $sql, $database) = @_;
	my $psql = { out => '', err => '' };

	$psql->{harness} = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr($database // 'postgres'), '-c', $sql ],
		'<', \undef, '>', \$psql->{out}, '2>', \$psql->{err},
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return $psql;
}

# Wait for its end; gives what it printed.
sub finish_psql
{
	my ($psql) = @_;

	$psql->{harness}->finish;
	chomp $psql->{out};
	$psql->{err} =~ s/\s+/ /g;
	return wantarray ? ($psql->{out}, $psql->{err}) : $psql->{out};
}

1;
