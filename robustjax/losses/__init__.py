"""Stateless per-example losses, and the labels they are taken against."""

from robustjax.losses._active_passive import active_passive as active_passive
from robustjax.losses._active_passive import focal as focal
from robustjax.losses._active_passive import nce as nce
from robustjax.losses._active_passive import nfl as nfl
from robustjax.losses._active_passive import ngce as ngce
from robustjax.losses._active_passive import rce as rce
from robustjax.losses._bootstrapping import bootstrap_ce as bootstrap_ce
from robustjax.losses._boxes import box_iou as box_iou
from robustjax.losses._boxes import check_boxes as check_boxes
from robustjax.losses._boxes import d_iou as d_iou
from robustjax.losses._boxes import l1_iou as l1_iou
from robustjax.losses._boxes import smooth_l1 as smooth_l1
from robustjax.losses._classification import LOG_ZERO as LOG_ZERO
from robustjax.losses._classification import cross_entropy as cross_entropy
from robustjax.losses._classification import gce as gce
from robustjax.losses._classification import gce_weighted_ce as gce_weighted_ce
from robustjax.losses._classification import mae as mae
from robustjax.losses._classification import (
    reverse_cross_entropy as reverse_cross_entropy,
)
from robustjax.losses._classification import symmetric_ce as symmetric_ce
from robustjax.losses._classification import truncated_gce as truncated_gce
from robustjax.losses._contrastive import nt_xent as nt_xent
from robustjax.losses._feature_penalties import (
    squared_feature_norm as squared_feature_norm,
)
from robustjax.losses._feature_penalties import (
    uniform_cross_entropy as uniform_cross_entropy,
)
from robustjax.losses._jensen_shannon import jensen_shannon as jensen_shannon
from robustjax.losses._label_distributions import as_distributions as as_distributions
from robustjax.losses._label_distributions import smooth_labels as smooth_labels
from robustjax.losses._ranking import loss_prediction as loss_prediction
from robustjax.losses._ranking import pairwise_ranking as pairwise_ranking
from robustjax.losses._transition_corrected import (
    backward_corrected_ce as backward_corrected_ce,
)
from robustjax.losses._transition_corrected import (
    forward_corrected_ce as forward_corrected_ce,
)
from robustjax.losses._transition_corrected import (
    inverse_transition as inverse_transition,
)
