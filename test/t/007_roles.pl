# A job sees what its role may see, whatever the role's settings are.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;

my $node = start_node('main');
my ($status, $stdout, $stderr);
my $call = "residual_train('%s', '%s', 'source', 'target', '" . tiny() . "')";

sub job_of
{
	my ($role, $model, $corpus) = @_;
	my ($status, $out, $err) = as_role($node, $role, 'SELECT ' . sprintf($call, $model, $corpus // 'corpus'));
	is($status, 0, "$role may train $model") or diag($err);
	return $out;
}

$node->safe_psql('postgres', q{
	CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE team; CREATE ROLE carol LOGIN IN ROLE team;
	GRANT EXECUTE ON FUNCTION residual_train(text, regclass, name, name, jsonb) TO alice, team;
	GRANT SELECT ON corpus TO alice, team;
	CREATE TABLE secret AS SELECT * FROM corpus});

# who may start
($status, $stdout, $stderr) = as_role($node, 'bob', "\\set VERBOSITY sqlstate\nSELECT " . sprintf($call, 'b', 'corpus'));
like($stderr, qr/42501/, 'training is granted, not given');
($status, $stdout, $stderr) = as_role($node, 'alice', "SELECT " . sprintf($call, 'a', 'secret'));
like($stderr, qr/permission denied for table secret/, 'a table without privilege');
($status, $stdout, $stderr) = $node->psql('postgres', "\\set VERBOSITY verbose\nSET ROLE team; SELECT " . sprintf($call, 't', 'corpus'));
like($stderr, qr/28000.*role "team" is not permitted to log in.*HINT/s, 'a role without login');

# row-level security: only visible rows are read
$node->safe_psql('postgres', q{
	ALTER TABLE corpus ENABLE ROW LEVEL SECURITY;
	CREATE POLICY even ON corpus FOR SELECT TO alice USING (id % 2 = 0)});
my $job = job_of('alice', 'a');
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'done', 'done');
is($node->safe_psql('postgres', "SELECT pairs + held_out, owner FROM residual_jobs WHERE job = $job"), '200|alice',
	'policies of row-level security hold');
is($node->safe_psql('postgres', "SELECT owner FROM residual_models WHERE model = 'a'"), 'alice', 'the model is its owner\'s');

# privileges that go while the job waits
$node->append_conf('postgresql.conf', 'residual.max_jobs = 0');
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('residual.max_jobs') = '0'");
$job = job_of('alice', 'late');
$node->safe_psql('postgres', 'REVOKE SELECT ON corpus FROM alice');
$node->append_conf('postgresql.conf', 'residual.max_jobs = 2');
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('residual.max_jobs') = '2'");
($status, $stdout) = as_role($node, 'alice', "SELECT residual_resume($job)");
is($stdout, 't', 'its owner resumes it');
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'failed', 'the worker meets the privileges as they are');
is($node->safe_psql('postgres', "SELECT sqlstate, error FROM residual_jobs WHERE job = $job"), '42501|permission denied for table corpus',
	'and says so');
$node->safe_psql('postgres', 'GRANT SELECT (source, target) ON corpus TO alice; ALTER TABLE corpus DISABLE ROW LEVEL SECURITY');
as_role($node, 'alice', "SELECT residual_resume($job)");
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'done', 'privileges on the two columns are enough');

# whose jobs and models
($status, $stdout, $stderr) = as_role($node, 'bob', "\\set VERBOSITY verbose\nSELECT residual_cancel($job)");
like($stderr, qr/42501.*must have the rights of the owner of job $job/s, 'others may not cancel it');
($status, $stdout, $stderr) = as_role($node, 'bob', "SELECT residual_resume($job)");
like($stderr, qr/must have the rights/, 'nor resume it');
($status, $stdout, $stderr) = as_role($node, 'bob', "SELECT residual_wait($job)");
like($stderr, qr/must have the rights/, 'nor wait for it');
($status, $stdout, $stderr) = as_role($node, 'bob', "SELECT count(*) FROM residual_jobs");
is($stdout, '0', 'nor see it');
($status, $stdout, $stderr) = as_role($node, 'bob', "SELECT * FROM residual.job");
like($stderr, qr/permission denied/, 'nor read the catalog');
($status, $stdout, $stderr) = as_role($node, 'carol', "\\set VERBOSITY verbose\nSELECT " . sprintf($call, 'a', 'corpus'));
like($stderr, qr/42501/, 'training a new version needs the rights of the model\'s owner');
$job = job_of('carol', 'c');
$node->safe_psql('postgres', "SELECT residual_wait($job)");
($status, $stdout) = as_role($node, 'alice', "SELECT count(*) FILTER (WHERE owner = 'carol'::regrole), count(*) > 0 FROM residual_jobs");
is($stdout, '0|t', 'one sees one\'s own jobs');

# settings of a role must not spoil the work
$node->safe_psql('postgres', q{
	ALTER ROLE alice SET statement_timeout = '1ms';
	ALTER ROLE alice SET lock_timeout = '1ms';
	ALTER ROLE alice SET idle_in_transaction_session_timeout = '1ms';
	ALTER ROLE alice SET default_transaction_read_only = on;
	ALTER ROLE alice SET default_transaction_isolation = 'serializable';
	ALTER ROLE alice SET row_security = off;
	ALTER ROLE alice SET search_path = nowhere;
	ALTER ROLE alice SET quote_all_identifiers = on;
	ALTER ROLE alice SET DateStyle = 'SQL, DMY';
	ALTER ROLE alice SET bytea_output = 'escape';
	ALTER ROLE alice SET standard_conforming_strings = off});
($status, $stdout, $stderr) = as_role($node, 'alice', "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET default_transaction_read_only = off;\n"
	. "BEGIN READ WRITE; SELECT public." . sprintf($call, 'settings', 'public.corpus') . "; COMMIT");
$job = $stdout;
is(outcome($node, $job), 'done|', 'settings of the role do no harm')
	or diag($stderr);

# code of the table's owner that runs while rows are read
$node->safe_psql('postgres', q{
	CREATE FUNCTION meddle() RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_advisory_unlock_all();
		PERFORM set_config('default_transaction_read_only', 'on', false);
		PERFORM set_config('statement_timeout', '1', false);
		PERFORM set_config('search_path', 'nowhere', false);
		RETURN true;
	END $$;
	CREATE VIEW meddling AS SELECT source, target FROM corpus WHERE meddle();
	CREATE FUNCTION writes() RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		DELETE FROM public.corpus;
		RETURN true;
	END $$;
	CREATE VIEW writing AS SELECT source, target FROM corpus WHERE writes()});
$job = train($node, 'meddling', corpus => 'meddling', max_steps => 100000000);
ok(wait_training($node, $job), 'a view that undoes the worker\'s settings does no harm');
is($node->safe_psql('postgres', "SELECT count(DISTINCT objid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND mode = 'ExclusiveLock'"),
	'1', 'nor of its place');
is($node->safe_psql('postgres', "SELECT residual_cancel($job), residual_wait($job)"), 't|cancelled', 'nor lets go of its lock');
$job = train($node, 'writing', corpus => 'writing');
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'failed', 'rows are read in a read-only transaction');
is($node->safe_psql('postgres', "SELECT sqlstate FROM residual_jobs WHERE job = $job"), '25006', 'so a view that writes fails');
is($node->safe_psql('postgres', "SELECT count(*) FROM corpus"), '400', 'and nothing is lost');

# what cannot end well is not taken up again
$job = job_of('carol', 'orphan');
is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'done', 'done');
$node->safe_psql('postgres', "UPDATE residual.job SET state = 'failed' WHERE id = $job; UPDATE residual.model SET owner = 'alice' WHERE name = 'orphan'");
($status, $stdout, $stderr) = as_role($node, 'carol', "SELECT residual_resume($job)");
like($stderr, qr/must be owner of model "orphan"/, 'a job whose model belongs to another by now');
$node->safe_psql('postgres', 'DROP ROLE carol');
($status, $stdout, $stderr) = $node->psql('postgres', "SELECT residual_resume($job)");
like($stderr, qr/role with OID \d+ does not exist/, 'a job whose owner has been dropped');

$node->stop;
done_testing();
