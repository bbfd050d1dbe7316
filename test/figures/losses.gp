# losses.gp: validation loss while training without a warm-up
load "test/figures/common.gp"
set title "Validation loss without a warm-up (12 + 12 layers, learning rate 0.003 from the first step)"
set xlabel "step"
set ylabel "nats a token"
plot for [i = 1:3] only(data . "/losses.tsv", sprintf("$1 == \"%s\"", word(schemes, i))) \
	using 2:3 with linespoints pt 7 lw 2 lc rgb word(colours, i) title word(schemes, i)
