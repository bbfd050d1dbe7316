# A hot standby translates, with the models that were replicated to it.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use ResidualTest;
use ServingTest;

my $primary = PostgreSQL::Test::Cluster->new('primary');
my $standby = PostgreSQL::Test::Cluster->new('standby');
my $library = `pg_config --pkglibdir`;
chomp $library;
my $stage = $ENV{RESIDUAL_STAGE};
my $pid;

$primary->init(allows_streaming => 1, extra => [ '-E', 'UTF8', '--locale=C.UTF-8' ]);
$primary->append_conf('postgresql.conf', "extension_destdir = '$stage'\n"
	  . "dynamic_library_path = '$stage$library:\$libdir'\n"
	  . "residual.engine = '$stage$library/residual_engine'\n"
	  . "max_worker_processes = 16\n");
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION residual');
learn($primary, 'en_de');
is(ask($primary, 'good night', 'en_de'), 'gute nacht', 'the primary translates');
$primary->backup('base');
ok(!-e $primary->backup_dir . '/base/pg_stat_tmp/residual.sock', 'the socket is not in a base backup');

$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));
is($standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 't', 'a standby');
is(ask($standby, 'good night', 'en_de'), 'gute nacht', 'translates');
is($standby->safe_psql('postgres', "SELECT count(*) FROM pairs WHERE residual_translate(en, 'en_de') = de"), '10', 'a column as well');
is($standby->safe_psql('postgres', "SELECT count(*) FROM (SELECT de, residual_translate(en, 'en_de') AS t FROM pairs OFFSET 0) s WHERE t = de"), '10',
	'in batches, too');
like($standby->safe_psql('postgres', "EXPLAIN SELECT residual_translate(en, 'en_de') FROM pairs"), qr/Residual Batch/, 'as EXPLAIN says');
like(fails($standby, "SELECT residual_train('n', 'pairs', 'en', 'de')"), qr/25006/, 'it does not train');
is(serving($standby, 'models_loaded'), '1', 'with the model out of its own tables');
$pid = serving_pid($standby);
isnt($pid, serving_pid($primary), 'and an engine of its own');
cmp_ok($standby->safe_psql('postgres', "SELECT value FROM residual_evaluate('en_de', 'pairs', 'en', 'de') WHERE metric = 'bleu'"),
	'>', 99.9, 'it judges');
is($standby->safe_psql('postgres', q{SELECT count(*) > 40 FROM residual_probe('{"model": "en_de"}', 'pairs', 'en', 'de')}), 't',
	'it looks inside a model');
like(fails($standby, "SELECT residual_activate('en_de', 1)"), qr/ERROR: 25006: cannot execute residual_activate\(\) during recovery/,
	'but changes nothing');
like(fails($standby, "SELECT residual_grant('en_de', 'public')"), qr/25006/, 'nothing at all');

# what the primary does is seen
$primary->safe_psql('postgres', "SELECT residual_rename_model('en_de', 'de_en')");
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));
is(ask($standby, 'good night', 'de_en'), 'gute nacht', 'a renamed model has its new name');
is(serving($standby, 'models_loaded'), '1', 'and is not sent again');
$primary->safe_psql('postgres', q{SELECT residual_make_shortlist('de_en', 'pairs', 'en', 'de', '{"shortlist_frequent": 10, "shortlist_best": 15}')});
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));
is($standby->safe_psql('postgres', 'SELECT shortlist FROM residual_versions'), 't', 'a shortlist comes');
is(ask($standby, 'good night', 'de_en'), 'gute nacht', 'and is used');
is(serving($standby, 'models_loaded'), '2', 'which takes the model once more');
like(fails($standby, "SELECT residual_make_shortlist('de_en', 'pairs', 'en', 'de')"),
	qr/ERROR: 25006: cannot execute residual_make_shortlist\(\) during recovery/, 'none is made here');

$standby->promote;
ok($standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()'), 'promoted');
is(ask($standby, 'good morning', 'de_en'), 'guten morgen', 'it goes on');
is(serving_pid($standby), $pid, 'with the same engine');
$standby->safe_psql('postgres', "SELECT residual_drop_model('de_en')");
like(fails($standby, "SELECT residual_translate('good night', 'de_en')"), qr/42704/, 'and may change models now');
$standby->stop;
$primary->stop;
done_testing();
