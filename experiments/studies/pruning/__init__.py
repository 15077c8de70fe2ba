"""Launcher parts of data pruning under label noise."""
