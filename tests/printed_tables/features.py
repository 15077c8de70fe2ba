"""Unlearning with out-of-distribution images."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.printed_tables.cells import (
    Files,
    Table,
    builder,
    number,
    paired,
    spread,
)

FEATURES = "features"


class Of(NamedTuple):
    """Where the numbers of a method stand.

    Attributes:
      folder: of the run.
      method: as it is called there.
      count: of target images; None where a run has one.
    """

    folder: str
    method: str
    count: int | None = None

    def row(self, files: Files) -> dict[str, str] | None:
        """Its means, if it was run."""
        path = f"{FEATURES}/{self.folder}/summary.csv"
        found = files.where(path, method=self.method, **self._count())
        return found[0] if found else None

    def level(self, files: Files, name: str, digits: int) -> str:
        """A mean, or nothing."""
        row = self.row(files)
        return number(row, name, digits) if row else ""

    def spread(self, files: Files, name: str) -> str:
        """Mean and deviation, or nothing."""
        row = self.row(files)
        return spread(row, name) if row else ""

    def against(self, base: Of, files: Files, name: str) -> str:
        """These, and the difference of the same repeats with its standard error."""
        if not self.row(files):
            return ""
        return f"{self.spread(files, name)} ({self.difference(base, files, name)})"

    def difference(self, base: Of, files: Files, name: str) -> str:
        """The difference of the same repeats with its standard error."""
        one, other = (
            files.repeats(
                f"{FEATURES}/{each.folder}/repeats.csv",
                name,
                method=each.method,
                **each._count(),
            )
            for each in (self, base)
        )
        return paired(one, other)

    def _count(self) -> dict[str, int]:
        return {} if self.count is None else {"num_examples": self.count}


@builder
def few_shot(files: Files) -> Table:
    counts = (500, 1000, 2500)
    weights = {"0.1": "few_shot", "1": "few_shot_w1", "10": "few_shot_w10"}
    standard = [Of("few_shot", "standard", n) for n in counts]
    oat = [Of("few_shot", "oat", n) for n in counts]
    taufe = {w: [Of(f, "taufe", n) for n in counts] for w, f in weights.items()}
    table = [["", "N = 500", *(f"{n:,}" for n in counts[1:])]]

    def line(words: str, own: list[Of], show: Callable[[Of], str]) -> None:
        table.append([words, *(show(each) for each in own)])

    name = "test_accuracy"
    line("Standard", standard, lambda each: each.spread(files, name))
    methods = {"OAT": oat, **{f"TAUFE, λ = {w}": own for w, own in taufe.items()}}
    for words, own in methods.items():
        bases = dict(zip(counts, standard))
        line(words, own, lambda each: each.against(bases[each.count], files, name))
    for level, words, digits, shown in (
        ("heldout_ood_norm", "*norm of held-out OOD activations:*", 2, tuple(weights)),
        ("class_cosine", "*cosine of activations between classes:*", 3, ("0.1", "1")),
    ):

        def cell(each: Of, level: str = level, digits: int = digits) -> str:
            return each.level(files, level, digits)

        line(f"{words} Standard", standard, cell)
        line("OAT", oat, cell)
        for weight in shown:
            line(f"TAUFE, λ = {weight}", taufe[weight], cell)
    return table


@builder
def held_out_classes(files: Files) -> Table:
    folder, counts = "held_out_w1", (500, 1000)
    table = [
        [
            "",
            "N = 500",
            "1,000",
            "OOD norm",
            "cosine",
            "MNIST told apart at 1,000 (AUROC by energy)",
        ]
    ]
    names = {"standard": "Standard", "oat": "OAT", "taufe": "TAUFE, λ = 1"}
    for method, words in names.items():
        own = [Of(folder, method, n) for n in counts]
        accuracy = [
            each.spread(files, "test_accuracy")
            if method == "standard"
            else each.against(
                Of(folder, "standard", each.count), files, "test_accuracy"
            )
            for each in own
        ]
        auroc = files.row(
            f"{FEATURES}/{folder}/detection.csv",
            method=method,
            num_examples=1000,
            score="energy",
        )
        levels = [
            ", ".join(each.level(files, name, digits) for each in own)
            for name, digits in (("heldout_ood_norm", 2), ("class_cosine", 3))
        ]
        table.append([words, *accuracy, *levels, spread(auroc, "auroc")])
    return table


@builder
def batch_norm(files: Files) -> Table:
    standard = Of("few_shot_bn", "standard")
    name, norm = "test_accuracy", "heldout_ood_norm"
    table = [["", "accuracy", "OOD norm"]]
    table.append(
        ["Standard", standard.spread(files, name), standard.level(files, norm, 2)]
    )
    for words, folder in (
        (
            "TAUFE (λ = 0.1), both passes move the running statistics, as published",
            "few_shot_bn",
        ),
        ("TAUFE, only target images move them", "few_shot_bn_own"),
    ):
        own = Of(folder, "taufe")
        table.append(
            [words, own.against(standard, files, name), own.level(files, norm, 2)]
        )
    return table


@builder
def separated_batches(files: Files) -> Table:
    """What of TAUFE's gain is its batch: beside 64 target images, and 32."""
    usual = Of("photographs_500_equal_epochs", "standard")
    half = Of("photographs_500", "standard")
    name = "test_accuracy"
    table = [
        [
            "in a step",
            "passes over the images",
            "accuracy",
            "against 64, as many passes",
            "against 32",
            "OOD norm",
            "correlation with a class: OOD",
            "test",
        ]
    ]
    for words, passes, own in (
        ("64 target", "60", usual),
        ("64 target", "120", Of("photographs_500_full", "standard")),
        ("32 target", "60", half),
        ("OAT: 32 target, 32 OOD", "60", Of("photographs_500", "oat")),
        ("TAUFE: 32 target, 32 OOD", "60", Of("photographs_500", "taufe")),
    ):
        against = [
            "" if own == base else own.difference(base, files, name)
            for base in (usual, half)
        ]
        table.append(
            [
                words,
                passes,
                own.spread(files, name),
                *against,
                own.level(files, "heldout_ood_norm", 2),
                own.level(files, "ood_correlation", 2),
                own.level(files, "test_correlation", 2),
            ]
        )
    return table


@builder
def combined_trainings(files: Files) -> Table:
    table = [
        [
            "",
            "MixMatch",
            "adversarial: clean",
            "attacked",
            "SimCLR, last layer",
        ]
    ]
    names = {
        "standard": "Standard",
        "oat": "OAT",
        "taufe": "TAUFE",
        "joint": "SimCLR on target and OOD images",
    }
    columns = (
        ("mix_match", "test_accuracy"),
        ("adversarial", "test_accuracy"),
        ("adversarial", "adversarial_accuracy"),
        ("pretrained", "test_accuracy"),
    )
    for method, words in names.items():
        cells = []
        for folder, name in columns:
            own, base = Of(folder, method), Of(folder, "standard")
            plain = method == "standard"
            cells.append(
                own.spread(files, name) if plain else own.against(base, files, name)
            )
        table.append([words, *cells])
    return table


@builder
def localization(files: Files) -> Table:
    standard, oat, taufe = (
        Of("localization", method) for method in ("standard", "oat", "taufe")
    )
    table = [
        ["`composed_localization`, 8,000 images", "Standard", "OAT", "TAUFE (λ = 1)"]
    ]
    for name, words in (
        ("max_box_accuracy", "GT-known Loc, best threshold"),
        ("fixed_box_accuracy", "GT-known Loc, threshold 0.2"),
        ("test_accuracy", "test accuracy"),
    ):
        cells = [each.against(standard, files, name) for each in (oat, taufe)]
        table.append([words, standard.spread(files, name), *cells])
    norms = [e.level(files, "heldout_ood_norm", 2) for e in (standard, oat, taufe)]
    table.append(["norm of held-out OOD activations", *norms])
    return table


@builder
def boxes(files: Files) -> Table:
    header = ["`composed_boxes`, 2,000 images", "Standard", "TAUFE 0.1", "1", "10"]
    standard, *others = (
        Of("boxes-standard-half", "standard"),
        Of("boxes", "taufe"),
        Of("boxes-weight-1", "taufe"),
        Of("boxes-weight-10", "taufe"),
    )
    cells = [each.against(standard, files, "test_iou") for each in others]
    norms = [e.level(files, "heldout_ood_norm", 2) for e in (standard, *others)]
    return [
        header,
        ["mean IoU", standard.spread(files, "test_iou"), *cells],
        ["norm of held-out OOD activations", *norms],
    ]
