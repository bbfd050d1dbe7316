# The serving engine, not preloaded: started by the first who asks, one for
# all, awake whatever it does, back after every kind of end.
use strict;
use warnings;

use File::Spec;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use ResidualTest;
use ServingTest;

my $node = start_node('serving', 'max_connections = 120');
my $socket = $node->data_dir . '/pg_stat_tmp/residual.sock';
my ($pid, $supervisor, $seconds);

learn($node, 'en_de');

# ---- the first use ----

is(supervisor_pid($node), '', 'nothing runs before it is needed');
is(serving_pid($node), '', 'looking at it does not start it');

my @first = map { start_psql($node, "SELECT residual_translate('good night', 'en_de')") } 1 .. 20;
is(join(',', map { scalar finish_psql($_) } @first), join(',', ('gute nacht') x 20), '20 first uses at once are answered');
$supervisor = supervisor_pid($node);
like($supervisor, qr/^\d+$/, 'they have started one supervisor');
is(scalar(() = engines($supervisor)), 1, 'with one engine');
is(serving($node, 'models_loaded'), '1', 'which was sent the model once');
$pid = serving_pid($node);
is($pid, (engines($supervisor))[0], 'and says its pid');
is(mode_of($socket), '0600', 'the socket is for the server alone');

sub mode_of
{
	return sprintf('%04o', (stat(shift))[2] & 07777);
}

# ---- awake ----

my ($out, $err);
$seconds = timed(sub { $err = fails($node, "SET statement_timeout = '200ms'; " . long_request('en_de')) });
like($err, qr/ERROR: 57014: canceling statement due to statement timeout/, 'statement_timeout acts in the middle of a request');
cmp_ok($seconds, '<', 3, "at once ($seconds s)");
my $long = start_psql($node, long_request('en_de'));
ok($node->poll_query_until('postgres', "SELECT value::int > 0 FROM residual_serving WHERE name = 'running_sentences'"),
	'a long request runs');
$seconds = timed(sub {
	$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%array_agg%' AND pid <> pg_backend_pid()");
	($out, $err) = finish_psql($long);
});
like($err, qr/57014: canceling statement due to user request/, 'it can be cancelled');
cmp_ok($seconds, '<', 3, "at once ($seconds s)");
ok($node->poll_query_until('postgres',
		"SELECT sum(value::int) = 0 FROM residual_serving WHERE name IN ('running_sentences', 'queue_sentences')"),
	'and the engine drops the work');
is(serving_pid($node), $pid, 'the engine is the same');
is($node->safe_psql('postgres', qq{
	BEGIN;
	SAVEPOINT a;
	SET LOCAL statement_timeout = '100ms';
	DO \$\$ BEGIN PERFORM @{[ long_request('en_de') =~ s/^SELECT//r ]}; EXCEPTION WHEN query_canceled THEN NULL; END \$\$;
	SET LOCAL statement_timeout = 0;
	SELECT residual_translate('good night', 'en_de');
	COMMIT}), 'gute nacht', 'a session goes on after a request that it has left');

# ---- sessions ----

$node->append_conf('postgresql.conf', "log_min_messages = warning");
$node->reload;
my $script = PostgreSQL::Test::Utils::tempdir() . '/translate.sql';
PostgreSQL::Test::Utils::append_to_file($script, "SELECT 1 / (residual_translate('good night', 'en_de') = 'gute nacht')::int;\n");
$node->command_checks_all(
	[ 'pgbench', '-n', '-c', 50, '-j', 2, '-t', 20, '-f', $script, '-p', $node->port, '-h', $node->host, 'postgres' ],
	0, [qr{processed: 1000/1000}], [qr/^(?!.*(ERROR|aborted))/s], '50 sessions');
is(serving($node, 'models_loaded'), '1', 'still one model');
ok($node->poll_query_until('postgres', "SELECT value::int < 5 FROM residual_serving WHERE name = 'connections'"),
	'no connection is left behind');

# ---- ends ----

ok(kill_engine($pid), 'kill -9 of an idle engine');
is(ask($node, 'good morning', 'en_de'), 'guten morgen', 'the next statement is answered');
isnt(serving_pid($node), $pid, 'by another engine');

my @under_load = map { start_psql($node, long_request('en_de') =~ s/3000/300/r) } 1 .. 6;
ok($node->poll_query_until('postgres', "SELECT value::int > 0 FROM residual_serving WHERE name = 'running_sentences'"),
	'six sessions have requests under way');
ok(kill_engine(serving_pid($node)), 'kill -9 of a busy engine');
is(join(',', map { scalar finish_psql($_) } @under_load), join(',', ('300') x 6), 'all are answered all the same');

# A statement whose engine ends again and again gives up; nobody else does.
my $poison = start_psql($node, long_request('en_de'));
my $killed = 0;
my $end = time + 60;
my $last = 0;
while ($killed < 3 && time < $end)
{
	my ($now) = engines($supervisor);

	if (defined $now && $now != $last &&
		$node->safe_psql('postgres', "SELECT count(*) FROM residual_serving WHERE name = 'running_sentences' AND value::int > 0") eq '1')
	{
		$killed++ if kill_engine($now);
		$last = $now;
	}
	sleep 0.02;
}
is($killed, 3, 'three engines were killed under one statement');
($out, $err) = finish_psql($poison);
like($err, qr/ERROR: 08006: the serving engine ended 3 times while it worked on this request.*HINT: .*server log/, 'it fails with a hint');
is(ask($node, 'good night', 'en_de'), 'gute nacht', 'the next statement is answered');
like(slurp_file($node->logfile), qr/serving engine \d+ was terminated by signal 9/,
	'the server log says how engines ended');

# Silence is an end as well.
$pid = serving_pid($node);
kill 'STOP', $pid;
$seconds = timed(sub { $out = ask($node, 'good night', 'en_de') });
is($out, 'gute nacht', 'an engine that stands still is replaced');
cmp_ok($seconds, '<', 25, "in time ($seconds s)");
ok(!process_lives($pid), 'and killed');

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
ok($node->poll_query_until('postgres', "SELECT value::int > 0 FROM residual_serving WHERE name = 'running_sentences'"), 'busy again');
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
