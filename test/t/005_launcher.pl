# Preloaded: the launcher takes up what a restart has interrupted, and queues for places.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;

my $node = start_node('main', "shared_preload_libraries = 'residual'", 'residual.max_jobs = 1');

is(background_count($node, 'residual launcher'), '1', 'the launcher runs');
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION residual');
make_corpus($node, 'other', 'corpus', 200);

# the queue
my $first = train($node, 'first', max_steps => 100000000);
ok(wait_training($node, $first), 'a job runs');
my $call = "residual_train('%s', 'corpus', 'source', 'target', '" . tiny() . "')";
my ($status, $stdout, $stderr) = $node->psql('postgres', 'SELECT ' . sprintf($call, 'second'));
my $second = $stdout;
like($stderr, qr/WARNING:  1 training jobs run already.*It starts when another job has ended/s, 'a second one waits');
($status, $stdout, $stderr) = $node->psql('other', 'SELECT ' . sprintf($call, 'third'));
my $third = $stdout;
like($stderr, qr/stays queued/, 'as does one in another database');
$node->safe_psql('postgres', "SELECT pg_sleep(0.3)");
is($node->safe_psql('postgres', "SELECT state FROM residual_jobs WHERE job = $second"), 'queued', 'queued');
$node->safe_psql('postgres', "SELECT residual_cancel($first)");
is($node->safe_psql('postgres', "SELECT residual_wait($second)"), 'done', 'it starts when the first has ended');
is($node->safe_psql('other', "SELECT residual_wait($third)"), 'done', 'and so does the other');

# a restart, and a crash
$first = train($node, 'again', max_steps => 100000000);
ok(wait_training($node, $first), 'a job runs');
$node->restart;
ok($node->poll_query_until('postgres', "SELECT state = 'running' FROM residual_jobs WHERE job = $first"),
	'after a restart it goes on by itself');
my $step = $node->safe_psql('postgres', "SELECT checkpoint_step FROM residual_jobs WHERE job = $first");
ok(wait_training($node, $first, $step), 'from its checkpoint');
my $engine = engine_pid($node, $first);
kill 'KILL', $node->safe_psql('postgres', "SELECT pid FROM residual_jobs WHERE job = $first");
ok(wait_gone($engine, 5), 'its worker is killed, the server restarts');
ok($node->poll_query_until('postgres', "SELECT state = 'running' AND engine_pid <> $engine FROM residual.job WHERE id = $first"),
	'it goes on by itself');
$node->safe_psql('postgres', "SELECT residual_cancel($first)");
is($node->safe_psql('postgres', "SELECT residual_wait($first)"), 'cancelled', 'until it is cancelled');
$node->restart;
is($node->safe_psql('postgres', "SELECT residual_wait($first, '500 ms')"), 'cancelled', 'and then it stays so');

# a job that never gets anywhere is not tried for ever
$node->safe_psql('postgres', "UPDATE residual.job SET state = 'running', attempts = 5 WHERE id = $first");
$node->restart;
is($node->safe_psql('postgres', "SELECT residual_wait($first, '500 ms')"), 'interrupted', 'after five attempts the launcher leaves a job alone');

# one slot for all: launcher, serving and logical replication have three
$node->append_conf('postgresql.conf', "max_worker_processes = 4\nresidual.max_jobs = 2");
$node->restart;
$first = train($node, 'in_the_slot', max_steps => 100000000);
ok(wait_training($node, $first), 'a job has the last slot');
my $log = -s $node->logfile;
($status, $stdout, $stderr) = $node->psql('postgres', 'SELECT ' . sprintf($call, 'for_the_slot'));
$second = $stdout;
like($stderr, qr/WARNING:  no background worker is free.*It starts when a worker is free/s, 'another one finds none');
$node->safe_psql('postgres', 'SELECT pg_sleep(1.5)');
$node->safe_psql('postgres', "SELECT residual_cancel($first)");
is($node->safe_psql('postgres', "SELECT residual_wait($second, '60 s')"), 'done', 'and starts when the slot is free');
my $tries = () = slurp_file($node->logfile, $log) =~ /no background worker is free/g;
cmp_ok($tries, '<', 5, 'the launcher has waited for it quietly');

$node->stop;
done_testing();
