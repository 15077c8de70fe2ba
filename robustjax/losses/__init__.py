"""Stateless per-example losses."""

from robustjax.losses.classification import LOG_ZERO as LOG_ZERO
from robustjax.losses.classification import cross_entropy as cross_entropy
from robustjax.losses.classification import forward_corrected_ce as forward_corrected_ce
from robustjax.losses.classification import gce as gce
from robustjax.losses.classification import mae as mae
from robustjax.losses.classification import (
    reverse_cross_entropy as reverse_cross_entropy,
)
from robustjax.losses.classification import symmetric_ce as symmetric_ce
from robustjax.losses.classification import truncated_gce as truncated_gce
from robustjax.losses.contrastive import nt_xent as nt_xent
