# What a job needs is dropped while it runs.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use ResidualTest;

my $node = start_node('main');
my $begin;

sub job_in
{
	my ($database) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION residual');
	make_corpus($node, $database, 'corpus', 300);
	my $job = train($node, 'm', database => $database, max_steps => 100000000);
	ok(wait_training($node, $job, 0, $database), "a job in database $database");
	return engine_pid($node, $job, $database);
}

# the extension
my $engine = job_in('one');
my $offset = -s $node->logfile;
$begin = time;
$node->safe_psql('one', 'DROP EXTENSION residual');
ok(wait_gone($engine, 10), 'DROP EXTENSION ends the engine');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'residual training'"),
	'and the worker');
cmp_ok(time - $begin, '<', 3, 'promptly');
my $log = substr(slurp_file($node->logfile), $offset);
like($log, qr/LOG:  training job 1 ends: its row has been removed/, 'with a word in the log');
unlike($log, qr/(ERROR|FATAL|WARNING|PANIC):/, 'and no more than that');
$node->safe_psql('one', 'CREATE EXTENSION residual');
is($node->safe_psql('one', "SELECT count(*) FROM residual_jobs"), '0', 'it can be created anew');
my $job = train($node, 'm', database => 'one');
is($node->safe_psql('one', "SELECT residual_wait($job)"), 'done', 'and trains');

# the extension, and another one in its place at once, whose jobs have the same numbers
$job = train($node, 'm', database => 'one', max_steps => 100000000);
ok(wait_training($node, $job, 0, 'one'), 'a job');
$engine = engine_pid($node, $job, 'one');
$node->safe_psql('one', "BEGIN; DROP EXTENSION residual; CREATE EXTENSION residual;\n"
	. "INSERT INTO residual.job (id, model, owner, corpus, source, target, options, state)\n"
	. "VALUES ($job, 'm', 'postgres', 'corpus', 'source', 'target', '{}', 'cancelled'); COMMIT");
ok(wait_gone($engine, 10), 'a worker knows that another extension is not its own');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'residual training'"),
	'and ends');
is($node->safe_psql('one', "SELECT state, step IS NULL FROM residual_progress WHERE job = $job"), 'cancelled|t',
	'and leaves the other one\'s job alone');

# the database
$engine = job_in('two');
my ($status, $stdout, $stderr) = $node->psql('postgres', 'DROP DATABASE two');
like($stderr, qr/is being accessed by other users/, 'DROP DATABASE finds the worker');
$begin = time;
$node->safe_psql('postgres', 'DROP DATABASE two WITH (FORCE)');
cmp_ok(time - $begin, '<', 4, 'WITH (FORCE) ends it');
ok(wait_gone($engine, 5), 'and its engine');

# another database: the worker must not hold it up
$node->safe_psql('postgres', 'CREATE DATABASE three');
$job = train($node, 'busy', max_steps => 100000000);
ok(wait_training($node, $job), 'a job');
$begin = time;
$node->safe_psql('postgres', 'DROP DATABASE three');
cmp_ok(time - $begin, '<', 2, 'DROP DATABASE of another database does not wait for it');
$node->safe_psql('postgres', "SELECT residual_cancel($job), residual_wait($job)");

# the role
$node->safe_psql('postgres', q{CREATE ROLE trainer LOGIN; GRANT SELECT ON corpus TO trainer;
	GRANT EXECUTE ON FUNCTION residual_train(text, regclass, name, name, jsonb) TO trainer});
($status, $stdout) = as_role($node, 'trainer', "SELECT residual_train('of_role', 'corpus', 'source', 'target', '" . tiny(max_steps => 100000000) . "')");
$job = $stdout;
ok(wait_training($node, $job), 'a job of another role');
$node->safe_psql('postgres', 'DROP OWNED BY trainer; DROP ROLE trainer');
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'failed', 'DROP ROLE fails it');
is($node->safe_psql('postgres', "SELECT sqlstate, error FROM residual_jobs WHERE job = $job"),
	"42704|the role that owns job $job has been dropped", 'and it says so');

# the table
$job = train($node, 'of_table', max_steps => 100000000);
ok(wait_training($node, $job), 'a job whose table goes');
$node->safe_psql('postgres', 'ALTER TABLE corpus RENAME TO kept');
$node->safe_psql('postgres', "SELECT residual_cancel($job)");
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'cancelled', 'it needs the table no more, once it has read it');
$node->safe_psql('postgres', "SELECT residual_resume($job)");
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'failed', 'but when it is resumed');
is($node->safe_psql('postgres', "SELECT sqlstate, error FROM residual_jobs WHERE job = $job"),
	'42P01|relation "public.corpus" does not exist', 'and it says so');
$node->safe_psql('postgres', 'ALTER TABLE kept RENAME TO corpus');
$node->safe_psql('postgres', "SELECT residual_resume($job)");
ok(wait_training($node, $job), 'it goes on when the table is back');

# its row
$engine = engine_pid($node, $job);
$node->safe_psql('postgres', "DELETE FROM residual.job WHERE id = $job");
ok(wait_gone($engine, 10), 'a job whose row is deleted ends');

# the engine's program
$job = train($node, 'cascade');
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'done', 'the server is as good as before');

$node->stop;
done_testing();
