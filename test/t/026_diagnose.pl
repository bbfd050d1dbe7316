# Diagnostics run in processes of their own: cancelled, killed, bounded, many at once, beside translations.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;
use ServingTest;

my $node = start_node('main');
learn($node, 'en_de');

# takes many seconds; much memory if it came to it
my $long = q{SELECT count(*) FROM residual_cost('{"layers": 6, "d_model": 256, "d_ffn": 1024, "batch_tokens": 1024, "repeats": 1000}')};
my $short = q{SELECT count(*) > 40 FROM residual_probe('{"layers": 2, "d_model": 16, "d_ffn": 16, "heads": 2}', 'pairs', 'en', 'de')};
my ($running, $out, $err, @pids);

# Start the long one, wait until its process is there; gives both.
sub start_long
{
	my ($number) = @_;
	my $psql = start_psql($node, $long);

	wait_until(sub { return scalar(engines(serving_pid($node))) >= ($number // 1) }, 60);
	return $psql;
}

is($node->safe_psql('postgres', $short), 't', 'a diagnostic');
ok(wait_until(sub { return serving($node, 'apart') eq '0' }, 60), 'its process has ended');

$running = start_long();
@pids = engines(serving_pid($node));
is(scalar(@pids), 1, 'a process of its own');
is(ask($node, 'good night', 'en_de'), 'gute nacht', 'translations go on beside it');
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT count(*) FROM residual_cost%'});
($out, $err) = finish_psql($running);
like($err, qr/57014: canceling statement due to user request/, 'it is cancelled');
ok(wait_gone($pids[0]), 'by which its process ends');

$running = start_long();
@pids = engines(serving_pid($node));
ok(kill_engine($pids[0]), 'a killed process');
($out, $err) = finish_psql($running);
like($err, qr/08006: the engine ended while it worked on this request.*HINT/, 'is an error of its session');
is($node->safe_psql('postgres', $short), 't', 'and of nobody else');

# the serving engine is no concern of theirs
my $engine = serving_pid($node);
$running = start_psql($node, q{SELECT count(*) FROM residual_cost('{"layers": 1, "d_model": 64, "d_ffn": 64, "batch_tokens": 512, "repeats": 20}')});
wait_until(sub { return scalar(engines($engine)) == 1 }, 60);
kill_engine($engine);
($out, $err) = finish_psql($running);
is($out, '9', 'a diagnostic survives the serving engine');
is($err, '', 'without a word');
is(ask($node, 'good night', 'en_de'), 'gute nacht', 'and another one serves');

# four at once; the fifth waits, and may give up
my @many = map { start_long($_) } 1 .. 4;
like(fails($node, "SET statement_timeout = '500ms'; $short"), qr/57014: canceling statement due to statement timeout/, 'a fifth waits');
is(serving($node, 'apart'), '4', 'four are at work');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT count(*) FROM residual_cost%'});
$_->{harness}->finish for @many;
ok(wait_until(sub { return serving($node, 'apart') eq '0' }, 60), 'all end with their sessions');
is($node->safe_psql('postgres', $short), 't', 'then there are places again');

# memory is bounded
$node->append_conf('postgresql.conf', 'residual.training_memory = 16MB');
$node->reload;
$node->safe_psql('postgres', 'CREATE TABLE many AS SELECT en, de FROM pairs, generate_series(1, 2000)');
like(fails($node, q{SELECT residual_probe('{"layers": 24, "d_model": 128}', 'pairs', 'en', 'de')}),
	qr/54000: the diagnostic needs more memory than is allowed.*kB are allowed.*HINT: Raise residual\.training_memory/,
	'a diagnostic that is too large');
like(fails($node, q{SELECT residual_probe('{"layers": 2, "d_model": 64, "batch_tokens": 100000, "rows": 100000}', 'many', 'en', 'de')}),
	qr/54000: the diagnostic needs more memory than is allowed.*and the pass take/, 'a batch that is too large');
like(fails($node, q{SELECT residual_cost('{"layers": 6, "d_model": 128}')}), qr/54000: training this model needs more memory than is allowed/,
	'a cost that is too large to measure');
is($node->safe_psql('postgres', $short), 't', 'a small one fits');

# a shutdown waits for nobody
$running = start_long();
@pids = engines(serving_pid($node));
$node->stop('fast');
$running->{harness}->finish;
ok(wait_gone($pids[0]), 'a shutdown ends them');
done_testing();
