"""Training under dataset bias: a recipe per published method."""

from robustjax.methods.bias._bias_swap import bias_swap as bias_swap
from robustjax.methods.bias._biased_outputs import BiasedOutputs as BiasedOutputs
from robustjax.methods.bias._biased_outputs import biased_outputs as biased_outputs
from robustjax.methods.bias._cam_patches import PatchPlan as PatchPlan
from robustjax.methods.bias._conflict_sampling import (
    conflict_sampling as conflict_sampling,
)
from robustjax.methods.bias._debiased_pair import debiased_pair as debiased_pair
from robustjax.methods.bias._dfa import dfa as dfa
from robustjax.methods.bias._dfa import dfa_optimizer as dfa_optimizer
from robustjax.methods.bias._group_dro import bias_groups as bias_groups
from robustjax.methods.bias._group_dro import group_dro as group_dro
from robustjax.methods.bias._hex import hex_projection as hex_projection
from robustjax.methods.bias._jtt import jtt as jtt
from robustjax.methods.bias._lff import lff as lff
from robustjax.methods.bias._pgd import pgd as pgd
from robustjax.methods.bias._plain import gce_biased as gce_biased
from robustjax.methods.bias._plain import vanilla as vanilla
from robustjax.methods.bias._repair import repair as repair
from robustjax.methods.bias._resampling import resample as resample
from robustjax.methods.bias._swap_losses import SwapNetworks as SwapNetworks
from robustjax.methods.bias._swap_losses import swap_images as swap_images
from robustjax.methods.bias._swap_losses import swap_networks as swap_networks
