# A model of every residual scheme trains, is broken off and resumed bit for bit, translates, survives dump and restore.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;

my $node = start_node('main', 'residual.max_jobs = 2');

# every scheme, running scores with some, one stack with some
sub sweep
{
	my ($name) = @_;
	return $node->safe_psql('postgres', "SELECT residual_sweep('$name', 'corpus', 'source', 'target', '" .
		tiny(layers => 2, max_steps => 400, checkpoint_every => 10, dropout => 0.1, validation => 0) . qq{'::jsonb ||
		jsonb_build_object('scheme', (SELECT jsonb_agg(name ORDER BY name) FROM residual_schemes) || '[
			{"scheme": "residual", "score_residual": "sum"}, {"scheme": "pre", "score_residual": "mean"},
			{"encoder_scheme": "admin", "decoder_scheme": "dlcl"},
			{"architecture": "decoder", "scheme": "residual", "score_residual": "mean"},
			{"architecture": "decoder", "scheme": "admin"}, {"architecture": "decoder", "scheme": "dlcl"},
			{"architecture": "decoder", "scheme": "deepnorm", "share_embeddings": "none"}]'::jsonb))});
}

sub all_end
{
	my ($name) = @_;
	return $node->poll_query_until('postgres', "SELECT running + queued = 0 FROM residual_sweeps WHERE sweep = '$name'");
}

my $runs = sweep('whole');
cmp_ok($runs, '>=', 20, "$runs models");
ok(all_end('whole'), 'are trained');
is($node->safe_psql('postgres', "SELECT done FROM residual_sweeps WHERE sweep = 'whole'"), $runs, 'without a failure');

# the same again, each cancelled when it has a checkpoint
sweep('broken');
$node->safe_psql('postgres', q{
	DO $$
	DECLARE
		j bigint;
	BEGIN
		WHILE EXISTS (SELECT FROM residual_sweep_runs WHERE sweep = 'broken' AND state IN ('queued', 'running')) LOOP
			FOR j IN SELECT r.job FROM residual_sweep_runs r JOIN residual_jobs j USING (job)
					  WHERE r.sweep = 'broken' AND j.state = 'running' AND j.checkpoint_step > 0 LOOP
				PERFORM residual_cancel(j);
			END LOOP;
			COMMIT;
			PERFORM pg_sleep(0.002);
		END LOOP;
	END $$});
is($node->safe_psql('postgres', "SELECT count(*) FROM residual_sweep_runs r JOIN residual_jobs j USING (job)
	WHERE r.sweep = 'broken' AND j.state = 'cancelled' AND j.checkpoint_step BETWEEN 1 AND 399"), $runs, 'each is broken off');
is($node->safe_psql('postgres', "SELECT residual_sweep_resume('broken')"), $runs, 'and resumed');
ok(all_end('broken'), 'to the end');
is($node->safe_psql('postgres', q{
	WITH digest AS (
		SELECT split_part(m.name, '.', 1) AS sweep, split_part(m.name, '.', 2)::integer AS run,
			   md5(string_agg(tensor || part || md5(bytes), '' ORDER BY tensor COLLATE "C", part)) AS weights
		  FROM residual.weight w JOIN residual.model m ON m.id = w.model GROUP BY m.name)
	SELECT count(*), string_agg(r.settings::text, ' ') FILTER (WHERE b.weights IS DISTINCT FROM a.weights)
	  FROM digest a JOIN residual_sweep_runs r USING (sweep, run) LEFT JOIN digest b ON b.sweep = 'broken' AND b.run = a.run
	 WHERE a.sweep = 'whole'}), "$runs|", 'with the same weights, bit for bit');

# no two of them are the same model, and all survive a dump
my $answers = q{SELECT model, residual_translate(ARRAY['one red dogs see 1', 'seven black fish'], model),
	residual_score('two green cats see 2', 'zwei grun katzen sehen 2', model) FROM residual_models WHERE model LIKE 'whole.%' ORDER BY 1};
my $before = $node->safe_psql('postgres', $answers);
my %different = map { (split /\|/)[2] => 1 } split /\n/, $before;
is(scalar(keys %different), $runs, 'all translate, each in its way');
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('copy') ], 'restore');
is($node->safe_psql('copy', $answers), $before, 'the restored models answer the same');

$node->stop;
done_testing();
