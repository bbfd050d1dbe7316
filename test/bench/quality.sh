#!/bin/bash
# quality.sh: BLEU on Multi30k, English to German, at the settings of the published Transformer-Tiny.
#
#   test/bench/quality.sh FOLDER [scheme ...]
#
# FOLDER holds train.en.gz, train.de.gz, val.en.gz, val.de.gz (29,000 and 1,014 lines).  STEPS, THREADS, SEED in the
# environment.  Schemes train side by side, THREADS threads each.  Prints each run's curve and, on the validation part, BLEU and
# chrF with beam 5 of the averaged checkpoints, in float32 and with int8 weights.
data=$(realpath "$1") || exit 1
shift
schemes=${*:-residual post}
cd "$(dirname "$0")/../.." || exit 1
. test/setup.sh
WORK=$(mktemp -d "${TMPDIR:-/tmp}/residual-quality.XXXXXX")
chmod 755 "$WORK"
trap 'stop_cluster; rm -rf "$WORK"' EXIT
trap 'exit 1' INT TERM
build_and_stage -s
start_cluster "max_worker_processes = 16" "residual.max_jobs = 8"

for part in train val; do
	paste <(zcat "$data/$part.en.gz" | sed 's/\\/\\\\/g; s/\t/ /g') <(zcat "$data/$part.de.gz" | sed 's/\\/\\\\/g; s/\t/ /g') >"$WORK/$part.tsv"
	psql -Xq -c "CREATE TABLE $part (en text, de text)" -c "\\copy $part FROM '$WORK/$part.tsv'" || exit 1
done
psql -Xq -c 'CREATE EXTENSION residual'
for scheme in $schemes; do
	psql -XqAt -c "SELECT residual_train('$scheme', 'train', 'en', 'de', '{\"scheme\": \"$scheme\", \"layers\": 4,
		\"d_model\": 128, \"d_ffn\": 256, \"heads\": 4, \"tokenizer\": \"bpe\", \"vocab_size\": 10000, \"dropout\": 0.3,
		\"label_smoothing\": 0.1, \"learning_rate\": ${RATE:-0.005}, \"warmup_steps\": 2000, \"batch_tokens\": 4096, \"weight_decay\": 0,
		\"clip_norm\": 0, \"max_steps\": ${STEPS:-3600}, \"validation\": \"val\", \"validate_every\": ${VALIDATE:-200}, \"patience\": 0,
		\"metric\": \"bleu\", \"average_checkpoints\": 8, \"checkpoint_every\": 1000,
		\"threads\": ${THREADS:-1}, \"seed\": ${SEED:-1}}')" || exit 1
done
while [ "$(psql -XqAt -c "SELECT count(*) FROM residual_jobs WHERE state IN ('queued', 'running')")" != 0 ]; do
	psql -XqAt -c "SELECT model, state, phase, step, round(loss::numeric, 3), round(tokens_per_second::numeric), round(validation_bleu::numeric, 2),
		date_trunc('second', time_left) FROM residual_progress ORDER BY job"
	sleep ${EVERY:-60}
done
psql -X -c "SELECT model, state, error FROM residual_jobs"
psql -X -c "SELECT model, step, round(epoch::numeric, 1) AS epoch, round(t.loss::numeric, 3) AS loss, round(validation_loss::numeric, 3) AS validation_loss,
	round(validation_bleu::numeric, 2) AS bleu, round(seconds::numeric) AS seconds FROM residual_training_log t JOIN residual_jobs USING (job) ORDER BY job, step"
for scheme in $schemes; do
	for precision in float32 int8; do
		psql -X -c "SELECT '$scheme' AS scheme, '$precision' AS precision, metric, round(value::numeric, 2) AS value
			FROM residual_evaluate('$scheme', 'val', 'en', 'de', '{\"beam\": 5, \"length_penalty\": 1, \"precision\": \"$precision\"}')"
	done
done
