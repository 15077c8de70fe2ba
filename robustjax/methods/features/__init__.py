"""Features: unlearning undesirable ones, contrastive ones, attacks, fine-tuning."""

from robustjax.methods.features import _adversarial as _adversarial
from robustjax.methods.features import _feature_debiasing as _feature_debiasing
from robustjax.methods.features import _fine_tuning as _fine_tuning
from robustjax.methods.features import _simclr as _simclr
from robustjax.methods.features._adversarial import Attack as Attack
from robustjax.methods.features._adversarial import (
    adversarial_accuracy as adversarial_accuracy,
)
from robustjax.methods.features._adversarial import pgd as pgd
from robustjax.methods.features._feature_debiasing import OOD as OOD
from robustjax.methods.features._feature_debiasing import TARGET as TARGET
from robustjax.methods.features._feature_debiasing import UNUSED as UNUSED
from robustjax.methods.features._feature_debiasing import (
    AugmentLocated as AugmentLocated,
)
from robustjax.methods.features._feature_debiasing import (
    feature_debiasing as feature_debiasing,
)
from robustjax.methods.features._feature_debiasing import feature_pass as feature_pass
from robustjax.methods.features._feature_debiasing import (
    network_outputs as network_outputs,
)
from robustjax.methods.features._feature_debiasing import with_roles as with_roles
from robustjax.methods.features._fine_tuning import HEAD as HEAD
from robustjax.methods.features._fine_tuning import FrozenFeatures as FrozenFeatures
from robustjax.methods.features._fine_tuning import linear_probe as linear_probe
from robustjax.methods.features._fine_tuning import with_pretrained as with_pretrained
from robustjax.methods.features._mix_match import mix_match as mix_match
from robustjax.methods.features._simclr import ContrastiveNetwork as ContrastiveNetwork
from robustjax.methods.features._simclr import encode as encode
from robustjax.methods.features._simclr import encoder_variables as encoder_variables
from robustjax.methods.features._simclr import simclr as simclr
from robustjax.methods.features._simclr import train_simclr as train_simclr
