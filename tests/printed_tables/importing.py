"""The tables of docs/import.md: which pairs fit, and what the example clients reach."""

from __future__ import annotations

import numpy as np

from tests.printed_tables.cells import Files, Table, builder

PAIRS = "pairs"
EXAMPLES = (
    "linen_loop",
    "nnx_loop",
    "equinox_loop",
    "haiku_loop",
    "pmap_imagenet",
    "big_vision_update",
)


def accuracies(files: Files, path: str, **where: object) -> np.ndarray:
    """The accuracies (R,) of all repeats, in percent."""
    return np.array([100 * float(r["accuracy"]) for r in files.where(path, **where)])


def shown(values: np.ndarray) -> str:
    return f"{values.mean():.1f} ±{values.std(ddof=1):.1f}" if len(values) else ""


@builder
def loss_pairs(files: Files) -> Table:
    columns = (
        ("alone, Adam", "none", "adam"),
        ("+ `elr(3)`, Adam", "elr_3", "adam"),
        ("alone, SGD", "none", "sgd"),
        ("+ `elr(3)`, SGD", "elr_3", "sgd"),
        ("+ `elr(1)`, Adam", "elr_1", "adam"),
        ("+ `elr(0.6)`, Adam", "elr_0.6", "adam"),
        ("`alpha_weights` +, Adam", "alpha_weights", "adam"),
        ("`clean_probability(5)` +, Adam", "clean_probability", "adam"),
    )
    table = [["head", *(title for title, *_ in columns)]]
    # Cross-entropy first, then by what ELR's published strength makes of it.
    path = f"{PAIRS}/elr_3.csv"
    heads = dict.fromkeys(row["head"] for row in files.rows(path))

    def rank(head: str) -> float:
        return -accuracies(files, path, head=head, optimizer="adam").mean()

    order = ["ce", *sorted((h for h in heads if h != "ce"), key=rank)]
    for head in order:
        cells = [
            shown(
                accuracies(
                    files, f"{PAIRS}/{partner}.csv", head=head, optimizer=optimizer
                )
            )
            for _, partner, optimizer in columns
        ]
        table.append([f"`{head}`", *cells])
    return table


@builder
def example_clients(files: Files) -> Table:
    table = [["`python -m examples.…`", "`ce()`", "with", "chain"]]
    for name in EXAMPLES:
        path = f"examples/{name}.csv"
        losses = list(dict.fromkeys(row["loss"] for row in files.rows(path)))
        (robust,) = (loss for loss in losses if loss != "ce")
        table.append(
            [
                f"`{name}`",
                *(shown(accuracies(files, path, loss=loss)) for loss in ("ce", robust)),
                f"`{robust}`",
            ]
        )
    return table
