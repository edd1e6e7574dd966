"""Training losses: one file for each kind, with a function or a class of that name.

A function is the loss itself, (output, target) -> scalar. A class makes the loss, an nn.Module, from what its
parameters name: `seed`, or `classifier`, a trained network. Keyword-only arguments are those of the entry.

`ESTIMATES` in the file says which statistic of X | x_tilde minimises the loss: "mean", "median", "mode" or "neither".
L2 estimates the mean, L1 the median, L0 the mode (lecture 001; Lehtinen et al. 2018).
"""
