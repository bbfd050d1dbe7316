#!/bin/bash
# unit.sh: runs the programs of test/unit that are built; used by "make unit".
cd "$(dirname "$0")/.." || exit 1
status=0
for program in build/{float,double,checked,cudaemu}/test/{test_*,fuzz_*}; do
	[ -x "$program" ] || continue
	echo "# $program"
	RESIDUAL_ENGINE=$PWD/build/float/residual_engine "$program" || status=1
done
for program in test_kernels test_kernels_attention test_kernels_loss test_ops gpu_training test_reserve gpu_group; do
	echo "# build/float/test/$program on the CUDA device in emulation"
	test/device.sh build/float/test/$program || status=1
done
exit $status
