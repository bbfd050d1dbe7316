# output_change.gp: squared change of the stacks' outputs against depth
load "test/figures/common.gp"
set multiplot layout 2, 2 title "Squared change of the output against depth"
set logscale xy
set format y "10^{%T}"
set xlabel "layers"
do for [direction in "random gradient"] {
	do for [stack in "encoder decoder"] {
		set title sprintf("%s, %s step", stack, direction)
		plot for [i = 1:words(schemes)] only(data . "/changes.tsv", \
			sprintf("$1 == \"%s\" && $3 == \"%s\" && $4 == \"%s\" && $5 > 0", word(schemes, i), stack, direction)) \
			using 2:5 with linespoints pt 7 ps 0.5 lw (i <= 3 ? 2.5 : 1) lc rgb word(colours, i) title word(schemes, i) noenhanced
	}
}
unset multiplot
