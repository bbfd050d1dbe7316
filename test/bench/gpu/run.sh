#!/bin/bash
# run.sh: everything that only a machine with a GPU can say of the CUDA device, in one command.
#
#   test/bench/gpu/run.sh            needs the CUDA toolkit and a driver; writes build/bench/gpu.md
#
# First the tests of operations and the reference values natively, then under
# each tool of compute-sanitizer, then target tokens a second by shape and
# precision beside what the GPU allows (roofline.py).  Ends with status 1 when
# a test failed; speed judges nothing.
cd "$(dirname "$0")/../../.." || exit 1
out=${OUT:-build/bench}
mkdir -p "$out"

command -v nvidia-smi >/dev/null && nvidia-smi -L | grep -q GPU || { echo "no GPU here"; exit 2; }
name=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1)
PATH=$PATH:/usr/local/cuda/bin
make -j"$(nproc)" WITH_CUDA=yes residual_cuda.so build/float/test/test_ops build/float/test/golden \
	build/float/test/test_kernels build/float/test/test_kernels_attention build/float/test/test_kernels_loss \
	build/float/test/test_translator build/float/test/gpu_training build/float/test/gpu_group \
	build/float/bench/train/train || exit 1
export RESIDUAL_CUDA_LIBRARY=$PWD/residual_cuda.so RN_DEVICE=cuda
failed=0

# tell name command ...: one line for the table, the output in a file
tell()
{
	local title=$1 log=$out/$(echo "$1" | tr -c 'a-z0-9\n' _).log
	shift
	if "$@" >"$log" 2>&1; then
		echo "| $title | passed: $(grep -c '^ok' "$log") |"
	else
		echo "| $title | failed: $(grep -c '^not ok' "$log"), see $log |"
		return 1
	fi
}

{
echo "# $name, $(date -u +%F)"
echo
nvidia-smi --query-gpu=driver_version,memory.total,clocks.max.sm --format=csv
echo
echo "| test | result |"
echo "|---|---|"
for program in test_ops test_kernels test_kernels_attention test_kernels_loss test_translator gpu_training gpu_group "golden test/golden"; do
	tell "${program%% *}" build/float/test/$program || failed=1
done
if command -v compute-sanitizer >/dev/null; then
	for tool in memcheck racecheck initcheck synccheck; do
		tell "$tool" compute-sanitizer --tool $tool --error-exitcode 9 build/float/test/test_ops || failed=1
	done
else
	echo "| compute-sanitizer | skipped: it is not here |"
fi
echo
: >"$out/gpu.jsonl"
for shape in tiny base deep wide; do
	for precision in float32 tf32 bfloat16 float16; do
		for tokens in 4096 16384; do
			build/float/bench/train/train $shape residual ${SECONDS_EACH:-10} 1 cuda $precision $tokens >>"$out/gpu.jsonl" || failed=1
		done
	done
done
python3 test/bench/gpu/roofline.py "$name" "$out/gpu.jsonl"
} | tee "$out/gpu.md"
grep -q '| failed' "$out/gpu.md" && failed=1
exit $failed
