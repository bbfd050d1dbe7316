#!/bin/bash
# run.sh: training speed beside PyTorch's, in one run, in turn; prints ratios.
#
#   test/bench/train/run.sh [tiny base deep]      PYTHON: an interpreter with torch and numpy (else one is made)
#
# PyTorch at its best settings: eager, fused Adam, scaled_dot_product_attention, tcmalloc with huge pages where there is one.
cd "$(dirname "$0")/../../.." || exit 1
out=${OUT:-build/bench}
mkdir -p "$out"
make -s build/float/bench/train/train || exit 1
if [ -z "${PYTHON:-}" ]; then
	PYTHON=$out/venv/bin/python
	[ -x "$PYTHON" ] || { python3 -m venv "$out/venv" && "$out/venv/bin/pip" install -q torch numpy; } || exit 1
fi
tcmalloc=$(ls /usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4 2>/dev/null)
: >"$out/train.jsonl"
# bfloat16 where the processor multiplies it
precisions=${PRECISIONS:-float32}
[ -n "${PRECISIONS:-}" ] || ! build/float/bench/train/train tiny residual 0 1 cpu bfloat16 >/dev/null 2>&1 || precisions="float32 bfloat16"
for shape in ${@:-tiny base deep}; do
	seconds=${SECONDS_EACH:-15}
	for round in $(seq ${ROUNDS:-3}); do
		for precision in $precisions; do
			for scheme in post residual; do
				build/float/bench/train/train $shape $scheme $seconds 2 cpu $precision | tee -a "$out/train.jsonl"
			done
			dtype=$([ $precision = float32 ] && echo f32 || echo bf16)
			THP_MEM_ALLOC_ENABLE=1 LD_PRELOAD=$tcmalloc "$PYTHON" test/bench/train/peer.py --shape $shape --scheme residual --dtype $dtype \
				--secs $seconds 2>/dev/null | sed "s/^{/{\"who\": \"PyTorch\", \"precision\": \"$precision\", /" | tee -a "$out/train.jsonl"
		done
	done
done
"$PYTHON" - "$out/train.jsonl" <<'SUMMARY'
import json, statistics, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
print(f"{'shape':6} {'who':9} {'scheme':9} {'precision':9} {'target tokens/s':>15} {'peak MiB':>9} {'of PyTorch in float32: speed':>28} {'memory':>7}")
for shape in dict.fromkeys(r['shape'] for r in rows):
    def pick(*key):
        these = [r for r in rows if (r['shape'], r['who'], r['scheme'], r['precision']) == (shape,) + key]
        return statistics.median(r['tok_s'] for r in these), statistics.median(r['rss_MiB'] for r in these)
    peer = pick('PyTorch', 'residual', 'float32')
    for key in dict.fromkeys((r['who'], r['scheme'], r['precision']) for r in rows if r['shape'] == shape):
        speed, memory = pick(*key)
        print(f"{shape:6} {key[0]:9} {key[1]:9} {key[2]:9} {speed:15.0f} {memory:9.0f} {speed / peer[0]:28.2f} {memory / peer[1]:7.2f}")
SUMMARY
