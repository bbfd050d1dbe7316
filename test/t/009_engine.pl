# Engines that are missing, foreign, of another version, or break off.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;

my $node = start_node('main');
my $call = "residual_train('m', 'corpus', 'source', 'target', '" . tiny() . "')";
my $folder = PostgreSQL::Test::Utils::tempdir_short;
chmod 0755, $folder;
my ($status, $stdout, $stderr);

sub use_engine
{
	my ($path) = @_;
	$node->append_conf('postgresql.conf', "residual.engine = '$path'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('residual.engine') = '$path'");
	return;
}

# A program in perl with that body.
sub engine_of
{
	my ($name, $body) = @_;
	open(my $file, '>', "$folder/$name") or die "$folder/$name: $!";
	print $file "#!/usr/bin/perl\nuse strict;\nuse warnings;\n$body\n";
	close $file;
	chmod 0755, "$folder/$name";
	use_engine("$folder/$name");
	return;
}

# A job that fails with that engine; gives SQLSTATE, message, detail and hint.
sub failure
{
	my $job = $node->safe_psql('postgres', "SELECT $call");
	is($node->safe_psql('postgres', "SELECT residual_wait($job)"), 'failed', 'the job fails');
	return $node->safe_psql('postgres', "SELECT sqlstate, error, error_detail, error_hint FROM residual_jobs WHERE job = $job");
}

my $greeting = 'open(my $out, ">&=", 3) or die; binmode $out; $| = 1;
sub frame { my ($type, $payload) = @_; syswrite($out, pack("LLQ", $type, length $payload, 0) . $payload); }
sub text { return pack("L/a", $_[0]); }
';
my ($protocol, $build);

# not there
use_engine("$folder/none");
($status, $stdout, $stderr) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT $call");
like($stderr, qr/58P01.*could not run engine "$folder\/none": No such file or directory.*HINT:  Install residual_engine/s,
	'a missing engine is seen at once');

# not a session's to name
($status, $stdout, $stderr) = $node->psql('postgres', "LOAD 'residual'; SET residual.engine = '/bin/true'");
like($stderr, qr/cannot be changed now/, 'no session can name a program to run');

# something else
use_engine('/bin/true');
like(failure(), qr/^38000\|engine exited with code 0\|\|/, 'a program that is no engine');

# another version
engine_of('version', $greeting . 'frame(1, pack("L", 999) . text("9.9") . text("none") . pack("Q", $$)); sleep 60;');
my $told = failure();
like($told, qr/^55000\|engine "$folder\/version" does not fit this version of the extension\|The engine speaks protocol 999, build "9.9"; the library .*\|After a package upgrade restart the server/,
	'an engine of another version');
($protocol, $build) = $told =~ /the library speaks protocol (\d+), build "([^"]+)"/;

# rubbish
engine_of('rubbish', $greeting . 'syswrite($out, "x" x 4096); sleep 60;');
like(failure(), qr/^XX001\|received a malformed message/, 'rubbish in place of a greeting');
my $hello = 'frame(1, pack("L", ' . $protocol . ') . text("' . $build . '") . text("none") . pack("Q", $$));';
engine_of('unasked', $greeting . $hello . 'frame(39, text("done") . text("max_steps") . pack("qd", 1, 1)); sleep 60;');
like(failure(), qr/^08P01\|engine (sent a message of type 39 where none belongs|ended without a model)/, 'a job that is done before it began');
engine_of('short', $greeting . $hello . 'my $in; my $n = 0; do { sysread($out, $in, 1 << 20); $n += length $in } until $n > 20000 or length $in == 16; frame(32, "short"); sleep 60;');
like(failure(), qr/^(XX001\|received a malformed progress message|08P01)/, 'a short frame');

# last words
engine_of('dies', $greeting . $hello . 'print STDERR "out of cheese\n"; exit 3;');
like(failure(), qr/^38000\|engine exited with code 3\|out of cheese\s*\|residual_resume/, 'an engine that dies with a word');
like(slurp_file($node->logfile), qr/LOG:  engine \d+: out of cheese/, 'which the server log has as well');
engine_of('error', $greeting . $hello . 'frame(2, pack("L", 7) . text("loss is not a number") . text("At step 3.") . text("Lower the rate.")); sleep 60;');
like(failure(), qr/^22P01\|loss is not a number\|At step 3\.\|Lower the rate\./, 'an error of the engine with detail and hint');

# what the child is given
engine_of('child', 'use POSIX; opendir(my $d, "/proc/self/fd"); my @fd = sort { $a <=> $b } grep { /^\d+$/ && readlink("/proc/self/fd/$_") !~ m{/proc|/version|/child} } readdir $d;
print STDERR "descriptors @fd\n", "environment ", join(" ", map { "$_=$ENV{$_}" } sort keys %ENV), "\n";
open(my $f, "<", "/proc/self/oom_score_adj"); print STDERR "oom ", <$f>;
print STDERR "nice ", getpriority(0, 0), "\n"; open(my $s, "<", "/proc/self/status"); for (<$s>) { print STDERR lc $_ if /^Sig(Blk|Ign|Cgt)/ } exit 4;');
failure();
my $log = slurp_file($node->logfile);
like($log, qr/: descriptors 0 1 2 3 4 6$/m, 'it inherits its own descriptors and none of the server\'s');
like($log, qr/: environment (?:CUDA_VISIBLE_DEVICES=\S* )?(?:LD_LIBRARY_PATH=\S* )?LC_ALL=C.UTF-8 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PATH=\/usr\/bin:\/bin$|: environment .*LC_ALL=C\.UTF-8.*$/m, 'a small environment');
unlike($log, qr/: environment .*PG/m, 'without the server\'s variables');
like($log, qr/: oom 500$/m, 'the kernel takes it before the server');
like($log, qr/: nice 5$/m, 'it steps back');
SKIP:
{
	skip('the kernel does not group processes by session', 1) unless -e '/proc/self/autogroup';
	engine_of('group', 'open(my $f, "<", "/proc/self/autogroup"); print STDERR "group ", <$f>; exit 4;');
	# the kernel takes one such request in 100 ms, from whomever
	ok(wait_until(sub { failure(); return slurp_file($node->logfile) =~ /: group .* nice 5$/m }, 20), 'with its group');
}
like($log, qr/: sigblk:\s+0000000000000000$/m, 'no signal is blocked');

$node->stop;
done_testing();
