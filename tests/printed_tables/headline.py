"""The table of the front page."""

from __future__ import annotations

from tests.printed_tables import importing
from tests.printed_tables.active_learning import accuracy_by_round
from tests.printed_tables.cells import Files, Table, builder, spread
from tests.printed_tables.features import FEATURES


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
    for noise, words in (
        ("symmetric-50", "--noise=symmetric --noise_rate=0.5"),
        ("symmetric-80", "--noise=symmetric --noise_rate=0.8"),
        ("pairflip-45", "--noise=pairflip --noise_rate=0.45"),
    ):
        path = f"label_noise/mnist-{noise}/summary.csv"
        kind, _, rate = noise.partition("-")
        cells = [spread(files.row(path, method=m), "last") for m in ("ce", "sop")]
        shown = "pair flips" if kind == "pairflip" else kind
        add(
            f"MNIST, {rate} % of the labels wrong ({shown}): accuracy",
            f"{cells[0]} `ce`",
            f"{cells[1]} `sop`",
            f"label_noise --preset=mnist --methods=ce,sop {words}",
        )
    path = "label_noise/cifar10_n_small-worse/summary.csv"
    cells = [spread(files.row(path, method=m), "last") for m in ("ce", "sop_plus")]
    add(
        "CIFAR-10N worse, 10,000 images: accuracy",
        f"{cells[0]} `ce`",
        f"{cells[1]} `sop_plus`",
        "label_noise --preset=cifar10_n_small --methods=ce,sop_plus",
    )
    rows = [
        files.row("label_correction/digits/summary.csv", method=m, labels=250)
        for m in ("random", "alc")
    ]
    add(
        "digits, 72 % of the labels wrong, 250 corrected: accuracy",
        f"{spread(rows[0], 'accuracy')} `random`",
        f"{spread(rows[1], 'accuracy')} `alc`",
        "label_correction --preset=digits",
    )
    path = "pruning/mnist_long/summary.csv"
    cells = [
        spread(files.row(path, method=m, fraction="0.2"), "last")
        for m in ("uniform", "prune4rel_coverage")
    ]
    add(
        "MNIST, 40 % of the labels wrong, a fifth kept: accuracy",
        f"{cells[0]} `uniform`",
        f"{cells[1]} `prune4rel_coverage`",
        "pruning --preset=mnist_small --epochs=100 --watch_every_epochs=25 "
        "--fractions=0.1,0.2 --methods=uniform,prune4rel_coverage",
    )
    rows = [
        accuracy_by_round(files, "mnist_small", "0.6", s)[-1]
        for s in ("random", "mqnet")
    ]
    add(
        "MNIST, 60 % of the pool of no class, 280 labels: accuracy",
        f"{spread(rows[0], 'accuracy')} `random`",
        f"{spread(rows[1], 'accuracy')} `mqnet`",
        "active_learning --preset=mnist_small",
    )
    values = [
        spread(
            files.row(f"{FEATURES}/localization/summary.csv", method=method),
            "max_box_accuracy",
        )
        for method in ("standard", "taufe")
    ]
    add(
        "digits on misleading backgrounds, localised without boxes: GT-known Loc",
        f"{values[0]} `standard`",
        f"{values[1]} `taufe`",
        "features --preset=composed_localization --seed=1",
    )
    path = "dataset_bias/colored_mnist_99/summary.csv"
    cells = [spread(files.row(path, method=m), "unbiased") for m in ("vanilla", "lff")]
    add(
        "Colored MNIST, 99 % with their digit's colour: unbiased accuracy",
        f"{cells[0]} `vanilla`",
        f"{cells[1]} `lff`",
        "dataset_bias --preset=colored_mnist_99 --methods=vanilla,lff",
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
