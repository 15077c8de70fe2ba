"""What the options of the rules of data pruning can be."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustjax import checks, scores
from robustjax.selection._cosine_kernel import SIMILARITIES
from robustjax.selection._prototype_distance import METRICS
from robustjax.selection._prune4rel import OBJECTIVES, RANKINGS

CONFIDENCES = ("max_prob", "diff_prob")
"""Values of `confidence`: the largest probability, or its lead over the second."""
KEEPS = ("hard", "easy")
"""Values of `keep`: examples far from their prototype, or close to it."""
_NAMES = {
    "confidence": CONFIDENCES,
    "keep": KEEPS,
    "metric": METRICS,
    "never_learned": scores.NEVER_LEARNED,
    "objective": OBJECTIVES,
    "ranking": RANKINGS,
    "similarity": SIMILARITIES,
}


def check_pruning_option(name: str, value: Any) -> None:
    """Raises `ValueError` for a value that no rule can have under this name."""
    if name in _NAMES:
        checks.one_of(name, value, _NAMES[name])
    elif name in ("strata", "clusters"):
        if value is not None:
            checks.at_least(name, value, 1)
    elif name == "hard_cutoff":
        checks.in_range(name, value, 0, 1, high_open=True)
    elif name == "threshold":
        checks.in_range(name, value, 0, 1)
    elif name == "temperature":
        checks.in_range(name, value, 0, np.inf, low_open=True)
