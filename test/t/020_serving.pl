# The serving engine, not preloaded: started by the first who asks, one for
# all, awake whatever it does, back after every kind of end.
use strict;
use warnings;

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
ok($node->poll_query_until('postgres', "SELECT value::int > 0 FROM residual_serving_status() WHERE name = 'running_sentences'"),
	'a long request runs');
$seconds = timed(sub {
	$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%array_agg%' AND pid <> pg_backend_pid()");
	($out, $err) = finish_psql($long);
});
like($err, qr/57014: canceling statement due to user request/, 'it can be cancelled');
cmp_ok($seconds, '<', 3, "at once ($seconds s)");
ok($node->poll_query_until('postgres',
		"SELECT sum(value::int) = 0 FROM residual_serving_status() WHERE name IN ('running_sentences', 'queue_sentences')"),
	'and the engine drops the work');
is(serving_pid($node), $pid, 'the engine is the same');
$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
$long = start_psql($node, long_request('en_de', 500));
ok($node->poll_query_until('postgres', "SELECT value::int > 0 FROM residual_serving_status() WHERE name = 'running_sentences'"),
	'another long request runs');
$seconds = timed(sub { $node->safe_psql('postgres', 'DROP DATABASE elsewhere') });
cmp_ok($seconds, '<', 3, "a database can be dropped meanwhile ($seconds s)");
is(scalar finish_psql($long), '500', 'and the request is answered');
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
ok($node->poll_query_until('postgres', "SELECT value::int < 5 FROM residual_serving_status() WHERE name = 'connections'"),
	'no connection is left behind');

# ---- ends ----

ok(kill_engine($pid), 'kill -9 of an idle engine');
is(ask($node, 'good morning', 'en_de'), 'guten morgen', 'the next statement is answered');
isnt(serving_pid($node), $pid, 'by another engine');

my @under_load = map { start_psql($node, long_request('en_de', 100)) } 1 .. 6;
ok($node->poll_query_until('postgres', "SELECT value::int > 0 FROM residual_serving_status() WHERE name = 'running_sentences'"),
	'six sessions have requests under way');
ok(kill_engine(serving_pid($node)), 'kill -9 of a busy engine');
is(join(',', map { scalar finish_psql($_) } @under_load), join(',', ('100') x 6), 'all are answered all the same');

# A statement whose engine ends again and again gives up; nobody else does.
my $poison = start_psql($node, long_request('en_de'));
my $killed = 0;
my $end = time + 60;
my $last = 0;
while ($killed < 3 && time < $end)
{
	my ($now) = engines($supervisor);

	if (defined $now && $now != $last &&
		$node->safe_psql('postgres', "SELECT count(*) FROM residual_serving_status() WHERE name = 'running_sentences' AND value::int > 0") eq '1')
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

$node->stop;
done_testing();
