# adam.gp: Adam's Jacobian against the size of gradients, and where the layers' gradients are
load "test/figures/common.gp"
set multiplot layout 1, 2 title "Adam: the answer of the first step to a change of the gradient (learning rate 1e-4, epsilon 1e-8)"
set logscale xy
set format xy "10^{%T}"
set xrange [1e-12:1]
set key inside bottom left
set title "made-up gradients (1024 normal ones) and the layers' own sizes"
set xlabel "standard deviation of the gradients"
set ylabel "norm of the Jacobian"
height(i) = 10 ** (-0.5 * i)
plot data . "/curve.tsv" using 1:2 with linespoints pt 7 ps 0.5 lc rgb "black" title "spectral", \
	data . "/curve.tsv" using 1:3 with linespoints pt 5 ps 0.5 lc rgb "#888888" title "Frobenius", \
	for [i = 1:3] only(data . "/sizes.tsv", sprintf("$1 == \"%s\" && $3 == \"decoder\"", word(schemes, i))) \
	using 5:(height(i)) with points pt 1 lc rgb word(colours, i) title word(schemes, i) . ": rms of each decoder layer"
set title "share of gradients below 1e-7, by layer of the decoder"
set xlabel "layer"
set ylabel "share"
unset logscale
set format xy "%g"
set xrange [*:*]
set yrange [0:*]
set key inside top right
plot for [i = 1:3] only(data . "/sizes.tsv", sprintf("$1 == \"%s\" && $3 == \"decoder\"", word(schemes, i))) \
	using 4:6 with linespoints pt 7 ps 0.5 lw 2 lc rgb word(colours, i) title word(schemes, i)
unset multiplot
