#!/bin/bash
# device.sh PROGRAM [ARGUMENT ...]: run a test on the CUDA device in emulation; any report of the
# emulator (race, bounds, uninitialised or foreign memory) fails it.
errors=$(mktemp) || exit 1
trap 'rm -f "$errors"' EXIT
root=$(cd "$(dirname "$0")/.." && pwd)
RN_DEVICE=cuda RESIDUAL_CUDA_LIBRARY=$root/build/cudaemu/residual_cudaemu.so "$@" 2>"$errors"
status=$?
if grep -q '^cudaemu:' "$errors"; then
	echo "not ok - the emulator reports $(grep -c '^cudaemu:' "$errors") faults"
	status=1
fi
head -20 "$errors" | sed 's/^/# /'
exit $status
