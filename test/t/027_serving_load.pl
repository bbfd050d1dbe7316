# Columns under load: many sessions at once, engine and supervisor ended in the
# middle, a storm of cancelled statements, after which nothing is left of them.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;
use ServingTest;

my $node = start_node('load', 'max_connections = 120');
my ($pid, $supervisor, $out, $err);

learn($node, 'en_de');
# every text is another one, so that each is translated, and its answer is known
$node->safe_psql('postgres', q{
	CREATE TABLE wanted AS
	SELECT n AS id, p.en || repeat(' ', n / 10) AS en, p.de
	  FROM generate_series(0, 1499) n, (SELECT row_number() OVER (ORDER BY en) - 1 AS r, en, de FROM pairs) p WHERE r = n % 10;
	ANALYZE wanted});

# Rows of a column, and how many of them are right.
sub column
{
	my ($rows, $options) = @_;

	$options //= '{}';
	return "SELECT count(*), count(*) FILTER (WHERE t = de) FROM "
	  . "(SELECT de, residual_translate(en, 'en_de', '$options') AS t FROM wanted WHERE id < $rows OFFSET 0) s";
}

sub busy
{
	return $node->poll_query_until('postgres', "SELECT sentences_running > 0 FROM residual_serving");
}

# ---- 50 sessions ----

my @sessions = map { start_psql($node, column(300)) } 1 .. 50;
is(join(' ', map { scalar finish_psql($_) } @sessions), join(' ', ('300|300') x 50), '50 sessions translate a column each, rightly');
is($node->safe_psql('postgres', 'SELECT models_loaded, models FROM residual_serving'), '1|1', 'with one model, sent once');
$pid = serving_pid($node);
$supervisor = supervisor_pid($node);

# ---- ends ----

my $right = $node->safe_psql('postgres', column(1500, '{"beam": 8}'));
@sessions = map { start_psql($node, column(1500, '{"beam": 8}')) } 1 .. 4;
ok(busy(), 'four sessions have several batches under way each');
is($node->safe_psql('postgres', q{
		SELECT bool_or(wait_event_type = 'Extension' AND wait_event = 'Extension') FROM pg_stat_activity WHERE query LIKE '%wanted%' AND pid <> pg_backend_pid()}),
	't', 'and are seen to wait');
ok(kill_engine($pid), 'kill -9 of the engine');
ok($node->poll_query_until('postgres', "SELECT pid <> $pid AND sentences_running > 0 FROM residual_serving"), 'another is at work');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($supervisor, 10000)");
is(join(' ', map { scalar finish_psql($_) } @sessions), join(' ', ($right) x 4),
	'after that and the end of the supervisor all rows are right, none twice, none missing');

# batches under way in a cursor, while statements of their own come and go
my $cursor = start_psql($node, q{
	DO $$
	DECLARE
		r record; n int := 0; last int := -1;
	BEGIN
		FOR r IN SELECT id, de, residual_translate(en, 'en_de') AS t FROM wanted ORDER BY id LOOP
			ASSERT r.t = r.de AND r.id = last + 1;
			last := r.id;
			IF r.id % 500 = 250 THEN
				PERFORM pg_sleep(0.2);
				ASSERT residual_translate('good night', 'en_de') = 'gute nacht';
				BEGIN
					PERFORM residual_translate('good night', 'nobody');
				EXCEPTION WHEN undefined_object THEN n := n + 1;
				END;
			END IF;
		END LOOP;
		RAISE INFO '% rows, % errors', last + 1, n;
	END $$});
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), 'a loop over a column is between two rows');
ok(kill_engine(serving_pid($node)), 'its engine is killed');
(undef, $err) = finish_psql($cursor);
like($err, qr/1500 rows, 3 errors/, 'it goes on, row by row');

# ---- a storm of cancelled statements ----

sub figures
{
	my ($status) = ('');
	open(my $file, '<', "/proc/$pid/status") or die "status: $!";
	$status = do { local $/; <$file> };
	close $file;
	my ($kilobytes) = $status =~ /VmRSS:\s+(\d+)/;
	opendir(my $folder, "/proc/$pid/fd") or die "fd: $!";
	my $descriptors = grep { /^\d+$/ } readdir($folder);
	closedir $folder;
	return ($kilobytes, $descriptors);
}

my $look = q{SELECT sum(total_bytes), (SELECT count(*) FROM pg_ls_dir('/proc/self/fd')) FROM pg_backend_memory_contexts};
my $cancelled = sub {
	my ($n) = @_;

	return map { sprintf("SET statement_timeout = '%dms'; %s;", 1 + $_ % 40, column(1500, '{"beam": 8}')) } 1 .. $n;
};
$pid = serving_pid($node);
$node->psql('postgres', join("\n", map { column(1500, '{"beam": 8}') . ';' } 1 .. 2));
my ($kilobytes, $descriptors) = figures();
($out, $err) = ('', '');
$node->psql('postgres', join("\n", '\pset format unaligned', '\t', $cancelled->(20), 'RESET statement_timeout;', column(100) . ';', "$look;",
		$cancelled->(180), 'RESET statement_timeout;', column(100) . ';', "$look;"),
	stdout => \$out, stderr => \$err, on_error_stop => 0);
is(scalar(() = $err =~ /canceling statement due to statement timeout/g), 200, '200 statements are cancelled in the middle');
my @looks = grep { /^\d+\|\d+$/ && !/^100\|/ } split(/\n/, $out);
is(scalar(() = $out =~ /^100\|100$/mg), 2, 'the next are right');
my ($memory_before, $files_before) = split(/\|/, $looks[0]);
my ($memory_after, $files_after) = split(/\|/, $looks[1]);
is($files_after, $files_before, 'the session has no more descriptors than before');
cmp_ok($memory_after, '<', $memory_before * 1.1 + 65536, "nor memory ($memory_before, $memory_after bytes)");

my @storm = map { start_psql($node, join("\n", $cancelled->(1))) } 1 .. 20;
finish_psql($_) foreach @storm;
ok($node->poll_query_until('postgres', "SELECT sentences_running = 0 AND sentences_waiting = 0 AND queue_bytes = 0 FROM residual_serving"),
	'the engine has dropped all of it');
is(serving_pid($node), $pid, 'and is the same');
ok(wait_until(sub { (figures())[1] <= $descriptors }, 20), 'it has no more descriptors');
my ($kilobytes_after) = figures();
cmp_ok($kilobytes_after, '<', $kilobytes * 1.25 + 16384, "nor memory ($kilobytes, $kilobytes_after kB)");
is($node->safe_psql('postgres', column(300)), '300|300', 'and translates');

# ---- restart ----

$node->restart;
is($node->safe_psql('postgres', column(300)), '300|300', 'after a restart as well');
$node->stop;
done_testing();
