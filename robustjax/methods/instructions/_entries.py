"""The entries of this family in the registry: factories that choose records."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any

from robustjax.methods._entry import Entry
from robustjax.methods.instructions import _baselines as baselines
from robustjax.methods.instructions import _gradient_similarity as gradients
from robustjax.methods.instructions import _in_clusters as in_clusters
from robustjax.methods.instructions import _scored as scored

SETTING_ARGUMENTS = frozenset({"pool", "budget", "key", "ranker", "groups"})


def _entry(
    name: str,
    make: Callable[..., Any],
    description: str,
    source: str,
    *needs: str,
    published: Mapping[str, Mapping[str, Any]] = types.MappingProxyType({}),
) -> Entry:
    return Entry(
        name,
        "instructions",
        "selection",
        make,
        description,
        source,
        published=published,
        setting_arguments=SETTING_ARGUMENTS,
        needs=frozenset(needs),
    )


ENTRIES = (
    _entry(
        "random",
        baselines.random_records,
        "at random",
        "the standard baseline",
        "key",
    ),
    _entry(
        "longest",
        baselines.longest,
        "longest answers",
        "Zhao et al., ICML 2024",
        "key",
    ),
    _entry(
        "max_cover",
        baselines.max_cover,
        "farthest first, the most diverse",
        "Sener, Savarese, ICLR 2018, on embeddings of texts",
        "features",
        "key",
    ),
    _entry(
        "min_cover",
        baselines.min_cover,
        "neighbours of one record, the least diverse",
        "a control of the thesis of FP-Instruction",
        "features",
        "key",
    ),
    _entry(
        "high_quality",
        baselines.high_quality,
        "highest ratings",
        "Chen et al., ICLR 2024, at a budget",
        "ratings",
        "key",
    ),
    _entry(
        "low_quality",
        baselines.low_quality,
        "lowest ratings",
        "a control of the thesis of FP-Instruction",
        "ratings",
        "key",
    ),
    _entry(
        "alpagasus",
        baselines.alpagasus,
        "ratings from a threshold on",
        "Chen et al., ICLR 2024",
        "ratings",
        published={"alpaca": {"threshold": 4.5}},
    ),
    _entry(
        "ifd",
        scored.ifd,
        "the question helps least to foresee the answer",
        "Li et al., NAACL 2024",
        "scores",
        "key",
    ),
    _entry(
        "superfiltering",
        scored.superfiltering,
        "the same, by the ratio of perplexities of a small model",
        "Li et al., ACL 2024",
        "scores",
        "key",
    ),
    _entry(
        "gradient_similarity",
        gradients.gradient_similarity,
        "gradients nearest to those of target examples",
        "after LESS, Xia et al., ICML 2024",
        "gradients",
        "key",
    ),
    _entry(
        "curated_stand_in",
        scored.curated_stand_in,
        "rules in place of people's choice, then farthest first",
        "stands in for LIMA, Zhou et al., NeurIPS 2023",
        "features",
        "key",
    ),
    _entry(
        "cluster_random",
        in_clusters.cluster_random,
        "one at random of every cluster",
        "what clusters alone are worth",
        "features",
        "key",
    ),
    _entry(
        "cluster_score",
        in_clusters.cluster_score,
        "the highest rating of every cluster",
        "Ge et al., EMNLP 2024",
        "features",
        "ratings",
        "key",
    ),
    _entry(
        "fp_instruction",
        in_clusters.fp_instruction,
        "the first that a teacher ranks in every cluster",
        "FP-Instruction",
        "features",
        "teacher",
        "key",
        published={"alpaca": {"max_size": 10}},
    ),
)
"""In the order in which a launcher runs them."""
