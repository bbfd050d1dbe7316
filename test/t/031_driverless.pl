# The real CUDA device where there is no driver: it says so, auto takes the CPU, cuda does not.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;

my $library = $ENV{RESIDUAL_CUDA};
plan skip_all => 'residual_cuda.so is not built' unless defined $library && -f $library;
plan skip_all => 'this machine has a driver' if -e '/dev/nvidiactl' || -e '/proc/driver/nvidia';

my $node = start_node('driverless', "residual.cuda_library = '$library'", 'residual.training_nice = 0');

like($node->safe_psql('postgres', "SELECT note FROM residual_devices WHERE device = 'cuda'"),
	qr/^no GPU can be used\. The driver says: .*driver/, 'residual_devices tells what the driver says');
is(outcome($node, train($node, 'auto', device => 'auto', max_steps => 3)), 'done|', 'auto takes the CPU');
like(slurp_file($node->logfile), qr/training on the CPU: no GPU can be used/, 'and the log says why');
like(outcome($node, train($node, 'cuda', device => 'cuda', max_steps => 3), 'sqlstate, error_detail'),
	qr/^failed\|0A000\|The driver says: .*\|no GPU can be used$/, 'cuda fails, with the reason');
$node->append_conf('postgresql.conf', "residual.device = 'auto'");
$node->reload;
like($node->safe_psql('postgres', "SELECT residual_translate('one red dogs', 'auto') IS NOT NULL"), qr/^t$/, 'serving takes the CPU');

done_testing();
