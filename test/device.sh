#!/bin/bash
# device.sh PROGRAM [ARGUMENT ...]: run a test on the CUDA device in emulation; any report of the
# emulator (race, bounds, uninitialised or foreign memory) fails it.
errors=$(mktemp) || exit 1
trap 'rm -f "$errors"' EXIT
root=$(cd "$(dirname "$0")/.." && pwd)
library=$root/build/cudaemu/residual_cudaemu.so
RN_DEVICE=cuda RESIDUAL_CUDA_LIBRARY=$library RESIDUAL_NCCL_LIBRARY=$library "$@" 2>"$errors"
status=$?
if grep -q '^cudaemu:' "$errors"; then
	echo "not ok - the emulator reports $(grep -c '^cudaemu:' "$errors") faults"
	status=1
fi
head -20 "$errors" | sed 's/^/# /'
exit $status
