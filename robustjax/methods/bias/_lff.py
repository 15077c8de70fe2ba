"""LfF: one network learns the bias, a second one what the first finds hard.

Nam, Cha, Ahn, Lee, Shin, "Learning from Failure: Training Debiased Classifier from
Biased Classifier", NeurIPS 2020.
"""

from __future__ import annotations

from typing import Literal

import flax.linen as nn
import optax

from robustjax import checks, transforms
from robustjax.methods.bias._debiased_pair import debiased_pair
from robustjax.methods.bias._plain import GceForm, gce_head
from robustjax.training import Recipe, as_float, single_phase
from robustjax.training._supervised import Augment, Preprocess
from robustjax.transforms import LossTransform, Reduction

AgainstNoise = Literal["none", "elr", "sop", "clean_probability"]
_AGAINST_NOISE = ("none", "elr", "sop", "clean_probability")


def lff(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    q: float = 0.7,
    form: GceForm = "reweighted",
    decay: float = 0.7,
    normalize: bool = True,
    against_noise: AgainstNoise = "none",
    truncate: bool = False,
    noise_epoch: int = 10,
    sop_rate: float = 20.0,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Two networks from the first step on; the second one's examples are weighted.

    The biased network minimises the generalised cross-entropy. The debiased one
    minimises the mean of W times the cross-entropy, over all examples of the batch and
    not over the weights, with W = `c_B / (c_B + c_D)` of `transforms.
    relative_difficulty`. There is no warm-up: in the first steps, W is about a half.

    Published settings: q and decay 0.7, Adam at 1e-3, batches of 256. Colored MNIST:
    `models.MLP(10, (100, 100, 100), input_scale=1 / 255, initialization="torch")`, 100
    epochs. Corrupted CIFAR-10: `models.CifarResNet(20, 10)`, crops and flips, 200
    epochs. Their code scores the weights one epoch before the last, and does not reach
    the numbers in print (Colored MNIST, 99 % aligned: unbiased about 68, printed 74.0).

    The paper's text has the ratio of raw losses; averages and normalisation are its
    code's, see `transforms.relative_difficulty`.

    Args:
      model: a Linen classifier.
      optimizer: of both networks; elementwise, such as Adam or SGD.
      epochs: of training; more than `noise_epoch` where that counts.
      q: of the biased network's loss, in (0, 1].
      form: of that loss, see `gce_head`: "reweighted", as in the code, or "textbook".
      decay: of the averaged losses, in [0, 1]; 0 takes the losses of the moment.
      normalize: whether losses are divided by the largest of their class.
      against_noise: what is chained to the debiased network's loss, for an example that
        both networks find hard may conflict with the bias or be labelled wrongly:
        "elr", `transforms.elr` as published for CIFAR-10, "sop", whose head takes the
        place of the cross-entropy, or "clean_probability", whose weights multiply W.
        Ours; "none" is LfF.
      truncate: whether the biased network's loss is `transforms.truncated_gce`, which
        leaves out what it holds to be mislabelled; there is no other `form` of it.
      noise_epoch: from when on `clean_probability` and `truncated_gce` act, >= 0; not
        without either.
      sop_rate: both learning rates of `transforms.sop`, >= 0, with "sop" alone; 10 is
        published for CIFAR-10 and batches of 128, which is 20 for those of 256.
      augment: `(key, inputs) -> inputs`, the same change for both networks; by
        default none.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe of one phase; see `debiased_pair` for its state, and its metrics.

    Raises:
      ValueError: a number outside its range, an unknown form, an option of what is not
        chained, or no epoch in which what is chained would act.
    """
    checks.one_of("against_noise", against_noise, _AGAINST_NOISE)
    checks.at_least("noise_epoch", noise_epoch, 0)
    if truncate or against_noise == "clean_probability":
        # They would never act.
        checks.at_least("epochs", epochs, noise_epoch + 1)
    else:
        why = f"with against_noise={against_noise!r} and no truncation"
        checks.no_effect("noise_epoch", noise_epoch, 10, why)
    if against_noise != "sop":
        why = f"with against_noise={against_noise!r}"
        checks.no_effect("sop_rate", sop_rate, 20.0, why)
    head = gce_head(q, form)
    if truncate:
        checks.no_effect("form", form, "reweighted", "with truncate")
        head = transforms.truncated_gce(q, start_epoch=noise_epoch)
    with checks.errors_name(lr_u="sop_rate"):
        corrected = transforms.sop(sop_rate, sop_rate)
    parts: list[LossTransform] = [
        transforms.relative_difficulty(decay, normalize=normalize),
        corrected if against_noise == "sop" else transforms.ce(),
    ]
    if against_noise == "clean_probability":
        # The mean stays one over all examples, as LfF's.
        clean = transforms.clean_probability(noise_epoch, reduction=Reduction.MEAN)
        parts.insert(0, clean)
    elif against_noise == "elr":
        parts.append(transforms.elr())
    algorithm = debiased_pair(
        model,
        optimizer,
        head,
        transforms.chain(*parts),
        augment=augment,
        preprocess=preprocess,
    )
    return single_phase(algorithm, epochs)
