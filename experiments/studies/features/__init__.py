"""Launcher parts of training with out-of-distribution images."""
