"""How data goes wrong: label noise, open-set pools, corrupted images, dataset bias."""

from robustjax.corruption import transitions as transitions
from robustjax.corruption._bias import BIAS_ASSIGNMENTS as BIAS_ASSIGNMENTS
from robustjax.corruption._bias import assign_bias as assign_bias
from robustjax.corruption._bias_corruptions import (
    CORRUPTED_CIFAR10 as CORRUPTED_CIFAR10,
)
from robustjax.corruption._bias_corruptions import (
    CORRUPTED_CIFAR10_SEVERITY as CORRUPTED_CIFAR10_SEVERITY,
)
from robustjax.corruption._bias_corruptions import corrupt_by_bias as corrupt_by_bias
from robustjax.corruption._blurs import defocus_blur as defocus_blur
from robustjax.corruption._blurs import gaussian_blur as gaussian_blur
from robustjax.corruption._blurs import glass_blur as glass_blur
from robustjax.corruption._blurs import motion_blur as motion_blur
from robustjax.corruption._blurs import zoom_blur as zoom_blur
from robustjax.corruption._colors import LFF_COLORS as LFF_COLORS
from robustjax.corruption._colors import LFF_JITTER as LFF_JITTER
from robustjax.corruption._colors import PGD_COLORS as PGD_COLORS
from robustjax.corruption._colors import PGD_JITTER as PGD_JITTER
from robustjax.corruption._colors import color_digits as color_digits
from robustjax.corruption._estimation import anchor_transition as anchor_transition
from robustjax.corruption._estimation import trusted_transition as trusted_transition
from robustjax.corruption._foreign import ForeignInputs as ForeignInputs
from robustjax.corruption._foreign import foreign_inputs as foreign_inputs
from robustjax.corruption._image_corruptions import (
    IMAGE_CORRUPTIONS as IMAGE_CORRUPTIONS,
)
from robustjax.corruption._image_corruptions import ImageCorruption as ImageCorruption
from robustjax.corruption._image_corruptions import corrupt_images as corrupt_images
from robustjax.corruption._label_noise import COUNTS as COUNTS
from robustjax.corruption._label_noise import NoisyLabels as NoisyLabels
from robustjax.corruption._label_noise import asymmetric as asymmetric
from robustjax.corruption._label_noise import class_flip as class_flip
from robustjax.corruption._label_noise import from_transition as from_transition
from robustjax.corruption._label_noise import instance_dependent as instance_dependent
from robustjax.corruption._label_noise import pairflip as pairflip
from robustjax.corruption._label_noise import symmetric as symmetric
from robustjax.corruption._open_set import OpenSetPool as OpenSetPool
from robustjax.corruption._open_set import cross_dataset as cross_dataset
from robustjax.corruption._open_set import draw_classes as draw_classes
from robustjax.corruption._open_set import draw_initial as draw_initial
from robustjax.corruption._open_set import open_set_labels as open_set_labels
from robustjax.corruption._open_set import split_dataset as split_dataset
from robustjax.corruption._pixel_noise import gaussian_noise as gaussian_noise
from robustjax.corruption._pixel_noise import impulse_noise as impulse_noise
from robustjax.corruption._pixel_noise import shot_noise as shot_noise
from robustjax.corruption._pixel_noise import speckle_noise as speckle_noise
from robustjax.corruption._resampling import elastic_transform as elastic_transform
from robustjax.corruption._resampling import jpeg as jpeg
from robustjax.corruption._resampling import pixelate as pixelate
from robustjax.corruption._spatter import spatter as spatter
from robustjax.corruption._tones import brightness as brightness
from robustjax.corruption._tones import contrast as contrast
from robustjax.corruption._tones import saturate as saturate
from robustjax.corruption._weather import fog as fog
from robustjax.corruption._weather import frost as frost
from robustjax.corruption._weather import snow as snow
