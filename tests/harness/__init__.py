"""Runs of every launcher that are killed, and folders that are damaged.

    python -m tests.harness.kill --trials=100
    python -m tests.harness.corrupt

`tests/experiments/test_damage.py` runs a short form of both.
"""
