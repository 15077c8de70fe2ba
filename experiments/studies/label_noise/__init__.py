"""Launcher parts of training under label noise."""
