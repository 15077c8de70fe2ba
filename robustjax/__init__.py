"""robustjax: learning from noisy data, as composable JAX functions.

The core (`losses`, `transforms`, `scores`, `graph`, `selection`, `corruption`) needs
no more than JAX, NumPy, SciPy and optax; `models`, `data`, `training` and `methods`
need the extra `robustjax[tools]`. Everything is imported on first use: the help
of the installed command waits for none of it.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any

from robustjax._version import __version__ as __version__

# For the eyes of type checkers only: with a module's `__getattr__` in sight they would
# take every misspelt name for Any.
if TYPE_CHECKING:
    from robustjax import answers as answers
    from robustjax import corruption as corruption
    from robustjax import data as data
    from robustjax import graph as graph
    from robustjax import losses as losses
    from robustjax import methods as methods
    from robustjax import models as models
    from robustjax import pages as pages
    from robustjax import scores as scores
    from robustjax import selection as selection
    from robustjax import training as training
    from robustjax import transforms as transforms
    from robustjax.transforms import ExampleSpec as ExampleSpec
    from robustjax.transforms import LossState as LossState
    from robustjax.transforms import LossTransform as LossTransform
    from robustjax.transforms import Penalty as Penalty
    from robustjax.transforms import Reduction as Reduction
    from robustjax.transforms import Stage as Stage
    from robustjax.transforms import Terms as Terms
    from robustjax.transforms import accumulate_losses as accumulate_losses
    from robustjax.transforms import active_passive as active_passive
    from robustjax.transforms import alpha_weights as alpha_weights
    from robustjax.transforms import backward_correction as backward_correction
    from robustjax.transforms import bootstrap as bootstrap
    from robustjax.transforms import box_head as box_head
    from robustjax.transforms import ce as ce
    from robustjax.transforms import chain as chain
    from robustjax.transforms import check_batch as check_batch
    from robustjax.transforms import clean_probability as clean_probability
    from robustjax.transforms import consistency as consistency
    from robustjax.transforms import elr as elr
    from robustjax.transforms import epoch_every as epoch_every
    from robustjax.transforms import forget_rate_schedule as forget_rate_schedule
    from robustjax.transforms import forward_correction as forward_correction
    from robustjax.transforms import gce as gce
    from robustjax.transforms import gce_weighted_ce as gce_weighted_ce
    from robustjax.transforms import given_labels as given_labels
    from robustjax.transforms import given_weights as given_weights
    from robustjax.transforms import inject_hyperparams as inject_hyperparams
    from robustjax.transforms import jensen_shannon as jensen_shannon
    from robustjax.transforms import label_smoothing as label_smoothing
    from robustjax.transforms import learning_record as learning_record
    from robustjax.transforms import loss_head as loss_head
    from robustjax.transforms import mae as mae
    from robustjax.transforms import named_chain as named_chain
    from robustjax.transforms import nce as nce
    from robustjax.transforms import nfl as nfl
    from robustjax.transforms import ngce as ngce
    from robustjax.transforms import oat as oat
    from robustjax.transforms import only_where as only_where
    from robustjax.transforms import reduce as reduce
    from robustjax.transforms import repad as repad
    from robustjax.transforms import rowwise as rowwise
    from robustjax.transforms import set_hyperparams as set_hyperparams
    from robustjax.transforms import small_loss as small_loss
    from robustjax.transforms import small_loss_weights as small_loss_weights
    from robustjax.transforms import sop as sop
    from robustjax.transforms import start as start
    from robustjax.transforms import stateless as stateless
    from robustjax.transforms import symmetric_ce as symmetric_ce
    from robustjax.transforms import taufe as taufe
    from robustjax.transforms import truncated_gce as truncated_gce
    from robustjax.transforms import value as value
    from robustjax.transforms._gradients import aggregate_weighted as aggregate_weighted
else:
    _LAZY_MODULES = (
        "answers",
        "corruption",
        "data",
        "graph",
        "losses",
        "methods",
        "models",
        "pages",
        "scores",
        "selection",
        "training",
        "transforms",
    )
    _CORE = (
        "ExampleSpec",
        "LossState",
        "LossTransform",
        "Penalty",
        "Reduction",
        "Stage",
        "Terms",
        "accumulate_losses",
        "active_passive",
        "alpha_weights",
        "backward_correction",
        "bootstrap",
        "box_head",
        "ce",
        "chain",
        "check_batch",
        "clean_probability",
        "consistency",
        "elr",
        "epoch_every",
        "forget_rate_schedule",
        "forward_correction",
        "gce",
        "gce_weighted_ce",
        "given_labels",
        "given_weights",
        "inject_hyperparams",
        "jensen_shannon",
        "label_smoothing",
        "learning_record",
        "loss_head",
        "mae",
        "named_chain",
        "nce",
        "nfl",
        "ngce",
        "oat",
        "only_where",
        "reduce",
        "repad",
        "rowwise",
        "set_hyperparams",
        "small_loss",
        "small_loss_weights",
        "sop",
        "start",
        "stateless",
        "symmetric_ce",
        "taufe",
        "truncated_gce",
        "value",
    )
    # Attribute -> module. The aggregation alone needs optax.
    _LAZY_ATTRIBUTES = {
        **dict.fromkeys(_CORE, "robustjax.transforms"),
        "aggregate_weighted": "robustjax.transforms._gradients",
    }

    def __getattr__(name: str) -> Any:
        """Imports the heavier rooms on first use (PEP 562)."""
        if name in _LAZY_MODULES:
            try:
                return importlib.import_module(f"robustjax.{name}")
            except ModuleNotFoundError as error:
                missing = (error.name or "").partition(".")[0]
                if missing in ("", "robustjax"):
                    raise
                raise ModuleNotFoundError(
                    f"robustjax.{name} needs {missing}, which is not installed; "
                    "install the extra: pip install 'robustjax[tools]'",
                    name=error.name,
                ) from error
        if name in _LAZY_ATTRIBUTES:
            found = getattr(importlib.import_module(_LAZY_ATTRIBUTES[name]), name)
            globals()[name] = found
            return found
        near = difflib.get_close_matches(name, __dir__(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise AttributeError(f"module 'robustjax' has no attribute {name!r}{hint}")

    def __dir__() -> list[str]:
        """Lists the lazy names too."""
        return sorted({*globals(), *_LAZY_MODULES, *_LAZY_ATTRIBUTES})
