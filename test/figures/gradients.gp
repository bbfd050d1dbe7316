# gradients.gp: gradient norm by layer of every scheme, decoder above and encoder below, a column a depth
load "test/figures/common.gp"
set multiplot layout 2, words(depths) title "Gradient norm by layer at initialisation (all parameters of a layer)"
set logscale y
set format y "10^{%T}"
set xlabel "layer"
do for [stack in "decoder encoder"] {
	do for [n in depths] {
		set title sprintf("%s, %s layers", stack, n)
		if (stack eq "decoder" && n eq word(depths, words(depths))) { set key inside bottom right font ",7" } else { unset key }
		plot for [i = 1:words(schemes)] only(data . "/gradients.tsv", \
			sprintf("$1 == \"%s\" && $2 == %s && $3 == \"%s\" && $5 > 0", word(schemes, i), n, stack)) \
			using 4:5 with lines lw (i <= 3 ? 2.5 : 1) lc rgb word(colours, i) title word(schemes, i) noenhanced
	}
}
unset multiplot
