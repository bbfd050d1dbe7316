# A text that kills the engine costs its own session its three tries, and
# nobody else an answer.  The engine is a stand-in that can be killed so.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Spec;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;
use ServingTest;

my $node = start_node('poison', 'max_connections = 60');
my $engine = File::Spec->rel2abs(PostgreSQL::Test::Utils::tempdir()) . '/stand_in_engine';

learn($node, 'm');
copy(dirname(abs_path(__FILE__)) . '/stand_in_engine.pl', $engine) or die "copy: $!";
chmod 0755, $engine, dirname($engine);
$node->append_conf('postgresql.conf', "residual.engine = '$engine'");
$node->reload;
is(ask($node, 'good night', 'm'), 'GOOD NIGHT', 'the stand-in answers');

my $supervisor = supervisor_pid($node);
my @innocent = map { start_psql($node, join(';', map { "SELECT residual_translate('innocent $_', 'm')" } 1 .. 8)) } 1 .. 10;
my @guilty = map { start_psql($node, "SELECT residual_translate('poison', 'm')") } 1 .. 2;
my $answers = join(',', map { "INNOCENT $_" } 1 .. 8);
my $answered = 0;

foreach my $psql (@innocent)
{
	my ($out, $err) = finish_psql($psql);

	$answered++ if join(',', split(/\n/, $out)) eq $answers && $err eq '';
	diag($err) if $err ne '';
}
is($answered, 10, 'ten sessions have all their answers, while');
foreach my $psql (@guilty)
{
	my (undef, $err) = finish_psql($psql);

	like($err, qr/ERROR: 08006: the serving engine ended 3 times/, 'another fails');
}
cmp_ok(scalar(() = slurp_file($node->logfile) =~ /serving engine \d+ was terminated by signal 9/g), '>=', 4,
	'engines have died of it');
is(supervisor_pid($node), $supervisor, 'the supervisor has borne it');
is(ask($node, 'good night', 'm'), 'GOOD NIGHT', 'and all is well');
$node->stop;
done_testing();
