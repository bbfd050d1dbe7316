# The serving engine and its surroundings: the supervisor, ends of the server,
# a program that is missing, of another version or never starts, no free slot.
use strict;
use warnings;

use File::Spec;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;
use ServingTest;

my $node = start_node('surroundings');
my $socket = $node->data_dir . '/pg_stat_tmp/residual.sock';
my ($pid, $supervisor, $seconds, $long);

learn($node, 'en_de');
is(ask($node, 'good night', 'en_de'), 'gute nacht', 'it translates');
$supervisor = supervisor_pid($node);

# ---- the supervisor ----

$node->safe_psql('postgres', "SELECT pg_cancel_backend($supervisor)");
is(ask($node, 'good night', 'en_de'), 'gute nacht', 'cancelling the supervisor does nothing');
is(supervisor_pid($node), $supervisor, 'it is the same');
$pid = serving_pid($node);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($supervisor, 10000)");
ok(wait_gone($pid), 'its end is the end of the engine');
is(ask($node, 'good night', 'en_de'), 'gute nacht', 'the next statement starts another');

# ---- the server ----

$pid = serving_pid($node);
$node->stop('immediate');
ok(wait_gone($pid), 'an immediate shutdown leaves no engine');
$node->start;
is(ask($node, 'good night', 'en_de'), 'gute nacht', 'a socket left behind disturbs nobody');
$pid = serving_pid($node);
$node->stop('fast');
ok(!process_lives($pid), 'a fast shutdown leaves no engine');
ok(!-e $socket, 'and no socket');
$node->start;
$long = start_psql($node, long_request('en_de'));
ok($node->poll_query_until('postgres', "SELECT value::int > 0 FROM residual_serving_status() WHERE name = 'running_sentences'"), 'busy again');
$pid = serving_pid($node);
$seconds = timed(sub { $node->stop('fast') });
cmp_ok($seconds, '<', 10, "a busy engine does not delay a shutdown ($seconds s)");
ok(wait_gone($pid), 'and goes with it');
finish_psql($long);
$node->start;
is(ask($node, 'good night', 'en_de'), 'gute nacht', 'started again');
$pid = serving_pid($node);
$supervisor = supervisor_pid($node);
$node->kill9;
ok(wait_gone($pid), 'kill -9 of the postmaster leaves no engine');
ok(wait_gone($supervisor), 'and no supervisor');
# where nobody reaps the killed postmaster, its number stays taken: the server would take it for a living one
unlink $node->data_dir . '/postmaster.pid', $node->host . '/.s.PGSQL.' . $node->port . '.lock';
$node->start;
is(ask($node, 'good night', 'en_de'), 'gute nacht', 'and translates');

# the socket is named from within the data directory, so it matters neither how that is called nor from where
$node->stop;
my $data = File::Spec->rel2abs($node->data_dir);
my $elsewhere = "${data}_elsewhere";
rename($data, $elsewhere) && symlink($elsewhere, $data) or die "moving $data: $!";
is(system("cd / && pg_ctl -D '$data' -l '$elsewhere.log' -w start >/dev/null"), 0, 'a server started from another directory, its own moved');
is(ask($node, 'good night', 'en_de'), 'gute nacht', 'translates');
ok(-S "$elsewhere/pg_stat_tmp/residual.sock", 'with its socket where its data are');
is(system("pg_ctl -D '$data' -w stop >/dev/null"), 0, 'and stops');
unlink($data) && rename($elsewhere, $data) or die "moving $elsewhere: $!";
$node->start;

# ---- what stands in the way ----

$node->append_conf('postgresql.conf', "residual.engine = '/nowhere/residual_engine'");
$node->reload;
ok(wait_until(sub { fails($node, "SELECT residual_translate('good night', 'en_de')") =~ /58P01.*\/nowhere\/residual_engine.*HINT/ }, 20),
	'without the program the error says so');
my $script_dir = File::Spec->rel2abs(PostgreSQL::Test::Utils::tempdir());
my $old = "$script_dir/old_engine";
PostgreSQL::Test::Utils::append_to_file($old, <<'PERL');
#!/usr/bin/perl
# greets as an engine of another build, for ever
use IO::Handle;
use IO::Socket::UNIX;
my $listener = IO::Socket::UNIX->new_from_fd(4, 'r+');
$SIG{PIPE} = 'IGNORE';
my $hello = pack('L L/a* L/a* Q', 1, '0.1', 'cpu', $$);
syswrite(IO::Handle->new_from_fd(3, 'w'), pack('L L Q', 1, length $hello, 0) . $hello);
while (my $client = $listener->accept) { syswrite($client, pack('L L Q', 1, length $hello, 0) . $hello); push @kept, $client; }
PERL
chmod 0755, $script_dir, $old;
$node->append_conf('postgresql.conf', "residual.engine = '$old'");
$node->reload;
ok(wait_until(sub { fails($node, "SELECT residual_translate('good night', 'en_de')") =~ /55000.*does not fit.*build "0\.1".*HINT.*restart/i }, 20),
	'an engine of another version is refused with a hint');
$node->append_conf('postgresql.conf', "residual.engine = '/bin/false'");
$node->reload;
ok(wait_until(sub {
			fails($node, "SET statement_timeout = '2s'; SELECT residual_translate('good night', 'en_de')") =~ /57014/ }, 20),
	'waiting for an engine that never starts can be cancelled');
$node->append_conf('postgresql.conf', "residual.engine = '$ENV{RESIDUAL_STAGE}" . library() . "/residual_engine'");
$node->reload;
is(ask($node, 'good night', 'en_de'), 'gute nacht', 'with the right program all is well');

sub library
{
	my $library = `pg_config --pkglibdir`;
	chomp $library;
	return $library;
}

$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
like(fails($node, "SELECT residual_translate('good night', 'en_de')"),
	qr/ERROR: 53400: no background worker slot is free.*HINT: .*max_worker_processes/, 'no free slot is said, and how to get one');

$node->stop;
done_testing();
