"""Composable loss transforms; see `robustjax.transforms.base`."""

from robustjax.transforms.alpha import alpha_weights as alpha_weights
from robustjax.transforms.base import Batch as Batch
from robustjax.transforms.base import ExampleSpec as ExampleSpec
from robustjax.transforms.base import LossState as LossState
from robustjax.transforms.base import LossTransform as LossTransform
from robustjax.transforms.base import Penalty as Penalty
from robustjax.transforms.base import Reduction as Reduction
from robustjax.transforms.base import Stage as Stage
from robustjax.transforms.base import Terms as Terms
from robustjax.transforms.base import need as need
from robustjax.transforms.base import reduce as reduce
from robustjax.transforms.base import start as start
from robustjax.transforms.combine import chain as chain
from robustjax.transforms.combine import (
    inject_hyperparameters as inject_hyperparameters,
)
from robustjax.transforms.combine import named_chain as named_chain
from robustjax.transforms.combine import only_where as only_where
from robustjax.transforms.combine import set_hyperparameters as set_hyperparameters
from robustjax.transforms.given_weights import given_weights as given_weights
from robustjax.transforms.heads import ce as ce
from robustjax.transforms.heads import forward_correction as forward_correction
from robustjax.transforms.heads import gce as gce
from robustjax.transforms.heads import loss_head as loss_head
from robustjax.transforms.heads import mae as mae
from robustjax.transforms.heads import symmetric_ce as symmetric_ce
from robustjax.transforms.heads import truncated_gce as truncated_gce
from robustjax.transforms.loss_history import accumulate_losses as accumulate_losses
from robustjax.transforms.rows import rowwise as rowwise
from robustjax.transforms.rows import stateless as stateless
