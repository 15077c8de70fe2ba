"""Launchers, sweeps, studies and benchmarks; run from the root of a clone."""
