"""Launcher parts of training under dataset bias."""
