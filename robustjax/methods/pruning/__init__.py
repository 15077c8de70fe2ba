"""Data pruning: which part of a noisy data set to keep; see `selection.select`."""
