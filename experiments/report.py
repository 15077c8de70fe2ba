"""What runs and sweeps have found, as one page to look at or to send to somebody.

    python -m experiments.report runs/label_noise/mnist-symmetric-50
    python -m experiments.report runs/label_noise/* --baseline=ce --output=noise

It writes `report.html`, one file that needs no network: what was run, tables that sort,
differences to a baseline, plots, and the examples behind them; and the same as
`report.md` with its plots in `report_files/`. It reads nothing but the folders and, for
pictures of examples, the data set.
"""

from __future__ import annotations

from absl import flags

from experiments.reporting.page import FORMATS, write_report
from experiments.study.launch import launch
from robustjax.tools.command.output import say
from robustjax.training import StopRequest

_OUTPUT = flags.DEFINE_string("output", "report", "Path of the files, without ending.")
_FORMAT = flags.DEFINE_list("format", list(FORMATS), f"Any of {', '.join(FORMATS)}.")
_BASELINE = flags.DEFINE_string(
    "baseline", None, "Method that others are compared with; by default the first."
)
_EXAMPLES = flags.DEFINE_integer(
    "examples", 8, "Examples shown of a group, such as those queried.", lower_bound=0
)
_POINTS = flags.DEFINE_integer(
    "points", 8, "Points of a sweep, from the first, shown in full.", lower_bound=0
)


def main(stop: StopRequest, *folders: str) -> None:
    """Writes the report that the flags describe."""
    del stop
    for line in write_report(
        folders,
        _OUTPUT.value,
        formats=_FORMAT.value,
        baseline=_BASELINE.value,
        examples=_EXAMPLES.value,
        points=_POINTS.value,
    ):
        say(line)


if __name__ == "__main__":
    launch(main, computes=False, takes_paths=True)
