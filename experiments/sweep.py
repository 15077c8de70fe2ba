r"""Many runs of one study: a grid of flags, on one machine or many.

    python -m experiments.sweep --study=label_noise --preset=digits --seeds=0,1 \
        --grid='noise_rate=0.2,0.5; methods=ce,elr; elr.strength=1,3,7' \
        --baseline=method=ce --dry_run

Beside its own flags it takes all flags of the study, for every point alike; see
`python -m experiments.<study> --help`. A point is a run of the ordinary launcher, in a
folder that is named by what the run is: what is finished is not run again, what was
killed continues, and a grid that has grown runs what is new. With --pack=16 up to
sixteen points that differ in numbers alone train as one program. See docs/sweeps.md.
"""

from __future__ import annotations

import sys

from experiments.study.launch import launch
from experiments.sweeping.command import define_study_flags, main
from experiments.sweeping.config import SweepConfig

if __name__ == "__main__":
    define_study_flags(sys.argv[1:])
    launch(main, SweepConfig, computes=False)
