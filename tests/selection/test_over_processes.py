"""Selections and label issues that two processes share are those of one."""

import json
import re
import sys

import pytest

from robustjax import row_source
from tests.harness import spread_selection
from tests.harness.several_processes import ends_of, free_address


def in_two_processes():
    """How each ends."""
    command = [sys.executable, "-m", "tests.harness.spread_selection", free_address()]
    return ends_of([[*command, "2", str(index)] for index in range(2)], 240)


@pytest.mark.slow
def test_two_processes_pick_what_one_does(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    monkeypatch.setattr(row_source, "_BLOCK_BYTES", row_source._BLOCK_BYTES)
    one, whole = spread_selection.picked(None), spread_selection.of_sharded(None)
    for status, output, errors in in_two_processes():
        assert status == 0, errors
        both = json.loads(output.splitlines()[-1])
        assert both["picked"] == one
        assert both["sharded"] == whole
        # What one process finds, all say: of those that wait none is left.
        nan, labels, range_, columns = both["refused"]
        assert "pred_probs: 1 row(s) hold NaN or infinity (first: row 57)" in nan
        assert labels == "labels: processes were given different ones"
        assert range_.startswith("labels: ")
        assert columns.endswith("expected parts of rows")
        nan, columns, order, gathered = both["rows"]
        assert nan == "features: row 57 holds NaN or infinity, expected finite values"
        assert columns.startswith("features: got (60, 6) that processes divide by ")
        assert columns.endswith("expected an array that every process has whole")
        one_way, other_way = re.fullmatch(
            r"mesh: got devices \[(.+)\], expected those that hold the rows of points, "
            r"in their order, \[(.+)\], or no mesh",
            order,
        ).groups()
        assert one_way.split(", ") == other_way.split(", ")[::-1]
        assert gathered.startswith("features: got (60, 6) that processes divide by ")
        assert not any("\n" in line for line in both["rows"])
