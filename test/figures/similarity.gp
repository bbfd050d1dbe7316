# similarity.gp: cosine of a layer's input and output
load "test/figures/common.gp"
set multiplot layout 1, 2 title "Cosine of the outputs of neighbouring layers at initialisation"
set xlabel "layer"
set yrange [*:1.02]
do for [stack in "encoder decoder"] {
	set title stack
	plot for [i = 1:words(schemes)] only(data . "/similarities.tsv", \
		sprintf("$1 == \"%s\" && $3 == \"%s\"", word(schemes, i), stack)) \
		using 4:5 with lines lw (i <= 3 ? 2.5 : 1) lc rgb word(colours, i) title word(schemes, i) noenhanced
}
unset multiplot
