#!/bin/sh
# layers.sh: checks who includes whom, by the table in README.md ("Layers").
# Prints TAP.
cd "$(dirname "$0")/.." || exit 1

n=0
failed=0
tell()
{
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $1"
	else
		failed=1
		echo "not ok $n - $1"
		echo "$2" | sed 's/^/# /'
	fi
}

# folder, what its files may include between quotes, as an extended regular expression
may_include()
{
	found=$(grep -nE '^#[[:space:]]*include[[:space:]]*"' $(find "$1" -name '*.[ch]' -o -name '*.cc') /dev/null |
		grep -vE "\"($2)")
	tell "$1 includes only what it may" "$found"
}

may_include src/base 'base/'
may_include kernels 'kernels/|base/'
may_include src/graph 'graph/|kernels/(device|kernel)\.h|base/'
may_include src/text 'text/|base/'
may_include src/score 'score/|base/'
may_include src/wire 'wire/|base/'
may_include src/model 'model/|graph/|kernels/(device|kernel)\.h|base/'
may_include src/train 'train/|model/|graph/|kernels/(collective|device|kernel)\.h|base/'
may_include src/diagnose 'diagnose/|train/|model/|graph/|kernels/(device|kernel)\.h|base/'
may_include src/shortlist 'shortlist/|base/'
may_include src/translate 'translate/|text/|shortlist/|model/|graph/|kernels/(device|kernel)\.h|base/'
may_include src/engine 'engine/|diagnose/|train/|translate/|text/|shortlist/|score/|model/|wire/|graph/|kernels/(collective|device|kernel)\.h|base/'

# residual.so: of ours, only these
found=$(grep -nE '^#[[:space:]]*include[[:space:]]*"(model|translate|diagnose|graph|train|text|engine|kernels)/' src/pg/*.[ch] |
	grep -vE '"(model/(config|scheme_list)|translate/search_options)\.h"')
tell "src/pg knows nothing of tensors" "$found"

found=$(grep -nE '"(postgres|fmgr|miscadmin)\.h"' -r src kernels --include='*.[ch]' --include='*.cc' | grep -v '^src/pg/')
tell "PostgreSQL is named only under src/pg" "$found"
found=$(grep -nE '<cblas\.h>' -r src kernels | grep -v '^kernels/cpu/')
tell "BLAS is named only under kernels/cpu" "$found"
found=$(grep -nE 'cuda_runtime|cublas|<nccl' -r src kernels | grep -v '^kernels/cuda/' | grep -E '#[[:space:]]*include')
tell "CUDA is named only under kernels/cuda" "$found"
found=$(grep -nE 'sentencepiece_(processor|trainer)' -r src kernels | grep -v '^src/text/' | grep -E '#[[:space:]]*include')
tell "SentencePiece is named only under src/text" "$found"

# what the built library needs: nothing of BLAS, C++ or CUDA
if [ -f residual.so ]; then
	found=$(ldd residual.so | grep -E 'blas|stdc\+\+|sentencepiece|cuda' )
	tell "residual.so links no BLAS, no C++, no CUDA" "$found"
	found=$(nm -D --undefined-only residual.so | grep -E 'pthread_create')
	tell "residual.so starts no thread" "$found"
fi

# a residual scheme is chosen by its file alone
found=$(grep -nE 'strn?c(ase)?(mp|cmp)\([^;]*"(residual|post|pre|admin|rezero|b2t|deepnorm|dlcl|fixed|alt[a-z_]*)"' \
	-r src kernels --include='*.[ch]' | grep -v '^src/model/residual/')
tell "no code outside src/model/residual asks for a scheme's name" "$found"
echo "1..$n"
exit $failed
