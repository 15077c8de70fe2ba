"""Instruction selection, method against method."""
