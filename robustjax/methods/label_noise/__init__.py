"""Training under label noise: a recipe per published method."""

from robustjax.methods.label_noise._co_teaching import co_teaching as co_teaching
from robustjax.methods.label_noise._co_teaching import (
    co_teaching_optimizer as co_teaching_optimizer,
)
from robustjax.methods.label_noise._divide_mix import divide_mix as divide_mix
from robustjax.methods.label_noise._elr_plus import elr_plus as elr_plus
from robustjax.methods.label_noise._entries import ROBUST_LOSSES as ROBUST_LOSSES
from robustjax.methods.label_noise._heteroscedastic import (
    heteroscedastic as heteroscedastic,
)
from robustjax.methods.label_noise._jocor import jocor as jocor
from robustjax.methods.label_noise._noise_adaptation import (
    noise_adaptation as noise_adaptation,
)
from robustjax.methods.label_noise._robust_losses import robust_loss as robust_loss
from robustjax.methods.label_noise._self_learning import (
    corrected_labels as corrected_labels,
)
from robustjax.methods.label_noise._self_learning import self_learning as self_learning
from robustjax.methods.label_noise._sop_plus import sop_plus as sop_plus
from robustjax.methods.label_noise._transition_training import (
    transition_training as transition_training,
)
