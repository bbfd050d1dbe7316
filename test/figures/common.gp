# common.gp: what the figures share
set datafile separator "\t"
set datafile missing "\\N"
set key outside right top
set grid lc rgb "#dddddd"
set style data linespoints
set autoscale xfix
schemes = "post pre residual admin deepnorm b2t dlcl rezero fixed alt_post_pre alt_pre_post altsub_post_pre altsub_pre_post"
# colours that stay apart; the three that the papers compare are the strongest
colours = "#d62728 #1f77b4 #2ca02c #ff7f0e #9467bd #8c564b #e377c2 #7f7f7f #bcbd22 #17becf #aec7e8 #98df8a #c5b0d5"
# rows of a file whose columns (1 and, with a layer, more) are what they should be
only(file, condition) = sprintf("< awk -F '\\t' '%s' %s", condition, file)
