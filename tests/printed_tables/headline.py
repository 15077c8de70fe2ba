"""The table of the front page."""

from __future__ import annotations

from tests.printed_tables import importing
from tests.printed_tables.cells import Files, Table, builder
from tests.printed_tables.results import claims_of, compared, ours


@builder
def headline(files: Files) -> Table:
    table = [["measured", "without", "with", "`python -m experiments.…`"]]

    def add(what: str, without: str, found: str, command: str) -> None:
        table.append([what, without, found, f"`{command}`"])

    cells = [
        importing.shown(
            importing.accuracies(
                files, f"pairs/{partner}.csv", head="ce", optimizer="adam"
            )
        )
        for partner in ("none", "elr_3")
    ]
    add(
        "the import example, MNIST, 5,000 images, 50 % of the labels wrong: accuracy",
        f"{cells[0]} `ce`",
        f"{cells[1]} `ce`, `elr`",
        "loss_pairs --head=ce --partner=none,elr_3 --optimizer=adam",
    )
    for claim in claims_of(files):
        method, baseline, _ = compared(claim, files)
        if not claim.headline or method is None or baseline is None:
            continue
        add(
            claim.headline,
            f"{ours(baseline)} `{claim.baseline['method']}`",
            f"{ours(method)} `{claim.method['method']}`",
            claim.short,
        )
    row = files.row(
        "label_errors/verified.csv", dataset="cifar10", rule="prune_by_noise_rate"
    )
    add(
        f"CIFAR-10's test set, {row['all_verified']} label errors verified by people",
        "",
        f"{row['verified']} among {row['named']} flagged",
        "verified_label_errors",
    )
    return table
