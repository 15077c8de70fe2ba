"""Launcher parts of open-set active learning."""
