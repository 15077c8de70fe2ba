"""Composable loss transforms: label rewriting, weights, heads, penalties, in a chain.

A transform has three functions. `init` makes its memory for a number of examples,
`update` changes the terms of a batch and the memory, `epoch` applies what happens
between epochs. `chain` puts transforms together, `value` runs them on a batch.
"""

from robustjax.transforms._active_passive_heads import active_passive as active_passive
from robustjax.transforms._active_passive_heads import nce as nce
from robustjax.transforms._active_passive_heads import nfl as nfl
from robustjax.transforms._active_passive_heads import ngce as ngce
from robustjax.transforms._alpha import alpha_weights as alpha_weights
from robustjax.transforms._averaged_losses import averaged_losses as averaged_losses
from robustjax.transforms._averaged_losses import class_maxima as class_maxima
from robustjax.transforms._averaged_losses import (
    read_averaged_losses as read_averaged_losses,
)
from robustjax.transforms._averaged_losses import update_average as update_average
from robustjax.transforms._base import Batch as Batch
from robustjax.transforms._base import ExampleSpec as ExampleSpec
from robustjax.transforms._base import LossState as LossState
from robustjax.transforms._base import LossTransform as LossTransform
from robustjax.transforms._base import Penalty as Penalty
from robustjax.transforms._base import Reduction as Reduction
from robustjax.transforms._base import Stage as Stage
from robustjax.transforms._base import Terms as Terms
from robustjax.transforms._base import need as need
from robustjax.transforms._base import start as start
from robustjax.transforms._batches import check_batch as check_batch
from robustjax.transforms._box_head import BOX_LOSSES as BOX_LOSSES
from robustjax.transforms._box_head import box_head as box_head
from robustjax.transforms._clean_probability import (
    clean_probability as clean_probability,
)
from robustjax.transforms._combine import chain as chain
from robustjax.transforms._combine import inject_hyperparams as inject_hyperparams
from robustjax.transforms._combine import named_chain as named_chain
from robustjax.transforms._combine import only_where as only_where
from robustjax.transforms._elr import elr as elr
from robustjax.transforms._error_set import up_weight_errors as up_weight_errors
from robustjax.transforms._feature_penalties import TAUFE_SETTINGS as TAUFE_SETTINGS
from robustjax.transforms._feature_penalties import TaufeSetting as TaufeSetting
from robustjax.transforms._feature_penalties import oat as oat
from robustjax.transforms._feature_penalties import taufe as taufe
from robustjax.transforms._given_weights import given_weights as given_weights
from robustjax.transforms._group_dro import group_dro as group_dro
from robustjax.transforms._group_dro import group_means as group_means
from robustjax.transforms._heads import backward_correction as backward_correction
from robustjax.transforms._heads import bootstrap as bootstrap
from robustjax.transforms._heads import ce as ce
from robustjax.transforms._heads import forward_correction as forward_correction
from robustjax.transforms._heads import gce as gce
from robustjax.transforms._heads import gce_weighted_ce as gce_weighted_ce
from robustjax.transforms._heads import jensen_shannon as jensen_shannon
from robustjax.transforms._heads import loss_head as loss_head
from robustjax.transforms._heads import mae as mae
from robustjax.transforms._heads import symmetric_ce as symmetric_ce
from robustjax.transforms._heads import truncated_gce as truncated_gce
from robustjax.transforms._label_rewriting import given_labels as given_labels
from robustjax.transforms._label_rewriting import label_smoothing as label_smoothing
from robustjax.transforms._learning_record import LearningRecord as LearningRecord
from robustjax.transforms._learning_record import learning_record as learning_record
from robustjax.transforms._learning_record import (
    read_learning_record as read_learning_record,
)
from robustjax.transforms._loss_history import accumulate_losses as accumulate_losses
from robustjax.transforms._loss_prediction import loss_prediction as loss_prediction
from robustjax.transforms._one_call import value as value
from robustjax.transforms._reduction import reduce as reduce
from robustjax.transforms._relative_difficulty import (
    difficulty_ratio as difficulty_ratio,
)
from robustjax.transforms._relative_difficulty import (
    relative_difficulty as relative_difficulty,
)
from robustjax.transforms._repad import repad as repad
from robustjax.transforms._repair_weights import repair_weights as repair_weights
from robustjax.transforms._rows import rowwise as rowwise
from robustjax.transforms._rows import stateless as stateless
from robustjax.transforms._set_hyperparams import set_hyperparams as set_hyperparams
from robustjax.transforms._small_loss import (
    forget_rate_schedule as forget_rate_schedule,
)
from robustjax.transforms._small_loss import num_kept as num_kept
from robustjax.transforms._small_loss import small_loss as small_loss
from robustjax.transforms._small_loss import small_loss_weights as small_loss_weights
from robustjax.transforms._sop import consistency as consistency
from robustjax.transforms._sop import sop as sop
from robustjax.transforms._step_count import epoch_every as epoch_every
