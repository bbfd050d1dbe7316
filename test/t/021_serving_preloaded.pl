# The serving engine of a preloaded library, and of two clusters on one machine.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;
use ServingTest;

my $node = start_node('preloaded', "shared_preload_libraries = 'residual'", 'residual.serve_threads = 1',
	'residual.serve_memory = 64MB');
my ($supervisor, $pid);

ok(wait_until(sub { serving_pid($node) =~ /^\d+$/ }), 'the engine is there from the start');
$supervisor = supervisor_pid($node);
is((engines($supervisor))[0], serving_pid($node), 'under its supervisor');
is(serving($node, 'threads'), '1', 'with the threads of the setting');
is(serving($node, 'memory_limit'), 64 * 1024 * 1024, 'and its memory');
learn($node, 'en_de');
is(ask($node, 'good night', 'en_de'), 'gute nacht', 'it translates');

# settings
$pid = serving_pid($node);
$node->append_conf('postgresql.conf', 'residual.serve_threads = 2');
$node->reload;
ok(wait_gone($pid), 'another setting is another engine');
is(ask($node, 'good night', 'en_de'), 'gute nacht', 'which translates');
is(serving($node, 'threads'), '2', 'with two threads');

# ends
$pid = serving_pid($node);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($supervisor, 10000)");
ok(wait_gone($pid), 'a terminated supervisor takes its engine along');
is(ask($node, 'good night', 'en_de'), 'gute nacht', 'the server starts another');
isnt(supervisor_pid($node), $supervisor, 'supervisor');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'residual serving'"), '1',
	'one, not another beside it');
unlike(slurp_file($node->logfile), qr/residual serving" \(PID \d+\) exited with exit code 0/, 'none was turned away');
$supervisor = supervisor_pid($node);
$pid = serving_pid($node);
kill 'KILL', $supervisor;
ok(wait_gone($pid), 'so does one that is killed');
ok($node->poll_query_until('postgres', 'SELECT true'), 'the server has restarted');
ok(wait_until(sub { my ($status, $out) = $node->psql('postgres', "SELECT residual_translate('good night', 'en_de')"); ($out // '') eq 'gute nacht' }),
	'and serves again');

# a second cluster has its own
my $other = start_node('other');
learn($other, 'en_de');
$other->safe_psql('postgres', "UPDATE pairs SET de = 'nein'");
my $job = $other->safe_psql('postgres', qq{SELECT residual_train('en_de', 'pairs', 'en', 'de',
	'{"layers": 1, "d_model": 16, "d_ffn": 32, "heads": 2, "threads": 1, "dropout": 0, "learning_rate": 0.01,
	  "warmup_steps": 10, "max_steps": 100, "validation": "0"}')});
$other->safe_psql('postgres', "SELECT residual_wait($job)");
is(ask($other, 'good night', 'en_de'), 'nein', 'another cluster on the machine has its own models');
is(ask($node, 'good night', 'en_de'), 'gute nacht', 'the first has not changed');
isnt(serving_pid($other), serving_pid($node), 'and its own engine');
$node->stop('immediate');
is(ask($other, 'good night', 'en_de'), 'nein', 'which does not care how others end');

# an idle engine goes, and comes back when it is needed
$other->append_conf('postgresql.conf', 'residual.serve_idle = 1');
$other->reload;
is(ask($other, 'good night', 'en_de'), 'nein', 'an engine that stays for a second');
$supervisor = supervisor_pid($other);
ok(wait_until(sub { !engines($supervisor) }, 20), 'goes when nobody asks');
ok(supervisor_pid($other) eq $supervisor, 'the supervisor stays');
is(ask($other, 'good night', 'en_de'), 'nein', 'and brings it back');
$other->stop;
done_testing();
