"""The entries of this family in the registry: what is asked of foreign images."""

from __future__ import annotations

from robustjax import transforms
from robustjax.methods._entry import Entry


def _nothing() -> None:
    """No penalty: foreign images play no part in the loss."""


ENTRIES = (
    Entry(
        "standard",
        "features",
        _nothing,
        "training on the target's examples alone",
        "the standard training",
    ),
    Entry(
        "joint",
        "features",
        _nothing,
        "pre-training on foreign images, too, then the standard training",
        "Park, Song, Kim, Lee, NeurIPS 2021, as a baseline",
        needs=frozenset({"ood_images", "pretraining"}),
    ),
    Entry(
        "oat",
        "features",
        transforms.oat,
        "the uniform distribution for foreign images",
        "Lee et al., ICLR 2021",
        {"cifar": {"weight": 1.0}},
        needs=frozenset({"ood_images"}),
    ),
    Entry(
        "taufe",
        "features",
        transforms.taufe,
        "small features for foreign images",
        "Park, Song, Kim, Lee, NeurIPS 2021",
        {
            name: setting._asdict()
            for name, setting in transforms.TAUFE_SETTINGS.items()
        },
        needs=frozenset({"features", "ood_images"}),
    ),
)
"""In the order in which a launcher runs them."""
