"""Rooms behind `experiments.report`: folders in, one page out."""
