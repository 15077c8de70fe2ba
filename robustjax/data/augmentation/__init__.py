"""Random changes of images on the device, batch by batch.

All take `(key, images, ...)`, images (B, H, W, C) as uint8 or as floats in [0, 1],
and return float32 in [0, 1] of static shape; every example draws its own change. They
are pure and run under `jit`, `scan` and `vmap`.
"""

from robustjax.data.augmentation._color import color_jitter as color_jitter
from robustjax.data.augmentation._color import random_grayscale as random_grayscale
from robustjax.data.augmentation._crop import cutout as cutout
from robustjax.data.augmentation._crop import random_crop as random_crop
from robustjax.data.augmentation._crop import random_flip as random_flip
from robustjax.data.augmentation._crop import random_resized_crop as random_resized_crop
from robustjax.data.augmentation._images import Augmentation as Augmentation
from robustjax.data.augmentation._images import to_float as to_float
from robustjax.data.augmentation._policies import auto_augment as auto_augment
from robustjax.data.augmentation._policies import rand_augment as rand_augment
from robustjax.data.augmentation._views import compose as compose
from robustjax.data.augmentation._views import (
    simclr_augmentation as simclr_augmentation,
)
from robustjax.data.augmentation._views import (
    standard_augmentation as standard_augmentation,
)
from robustjax.data.augmentation._views import (
    strong_augmentation as strong_augmentation,
)
