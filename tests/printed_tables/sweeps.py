"""Sweeps that were run."""

from __future__ import annotations

from tests.printed_tables.cells import Files, Table, builder, signed

ALC = "sweeps/alc-weights/summary.csv"
ELR = "sweeps/elr-mnist/summary.csv"
NOISES = ("uniform", "pairflip", "instance")
RATES = ("0.5", "0.8")


def measured(row: dict[str, str]) -> str:
    """A mean with its deviation."""
    return f"{float(row['mean']):.1f} ±{float(row['std']):.1f}"


def gained(row: dict[str, str]) -> str:
    """The same, and the gain over the baseline if there is one."""
    gain = row["difference_mean"]
    if not gain:
        return measured(row)
    return f"{measured(row)} ({float(gain):+.1f} ±{float(row['difference_std']):.1f})"


@builder
def elr_sweep(files: Files) -> Table:
    def cells(**where: str) -> list[str]:
        found = (
            files.row(ELR, noise_rate=rate, measure="last", **where) for rate in RATES
        )
        return [gained(row) for row in found]

    table = [["strength λ", "decay β", *(f"{float(r):.0%} noise" for r in RATES)]]
    table.append(["cross-entropy", "", *cells(method="ce")])
    for strength in ("1", "3", "7"):
        for decay in ("0.5", "0.7", "0.9"):
            options = {"elr.strength": strength, "elr.decay": decay}
            shown = [strength, decay]
            if shown == ["3", "0.7"]:
                shown = [f"**{text}**" for text in shown]
            table.append([*shown, *cells(method="elr", **options)])
    return table


@builder
def alc_weights(files: Files) -> Table:
    def cell(**where: str) -> str:
        return gained(files.row(ALC, labels="0", measure="accuracy", **where))

    table = [["`weight_scale`", "`weight_step`", *NOISES]]
    table.append(
        ["plain", "", *(cell(noise=noise, method="entropy") for noise in NOISES)]
    )
    scales = dict.fromkeys(row["robust.weight_scale"] for row in files.rows(ALC))
    steps = dict.fromkeys(row["robust.weight_step"] for row in files.rows(ALC))
    for scale in filter(None, scales):
        for step in filter(None, steps):
            options = {"robust.weight_scale": scale, "robust.weight_step": step}
            marked = (scale, step) == ("mean_loss", "0.1")
            table.append(
                [
                    f"`{scale}`",
                    f"**{step}**" if marked else step,
                    *(cell(noise=noise, **options) for noise in NOISES),
                ]
            )
    return table


def _map(files: Files, sweep: str, axis: str, measure: str) -> Table:
    """A row per weight of TAUFE, a column per correlation."""
    path = f"sweeps/{sweep}/summary.csv"
    places, weights = (
        list(dict.fromkeys(row[name] for row in files.rows(path)))
        for name in (axis, "taufe.weight")
    )

    def cell(place: str, **where: str) -> str:
        row = files.row(path, measure=measure, **{axis: place}, **where)
        if not row["difference_mean"]:
            return measured(row)
        error = float(row["difference_std"]) / float(row["difference_repeats"]) ** 0.5
        gain = signed(float(row["difference_mean"]))
        return f"{measured(row)} ({gain} ±{error:.1f})"

    table = [["", *(f"{float(place):.0%}" for place in places)]]
    table.append(["Standard", *(cell(place, method="standard") for place in places)])
    for weight in filter(None, weights):
        cells = (cell(p, method="taufe", **{"taufe.weight": weight}) for p in places)
        table.append([f"TAUFE, λ = {weight}", *cells])
    return table


@builder
def boxes_map(files: Files) -> Table:
    return _map(files, "composed_boxes", "position_correlation", "test_iou")


@builder
def localization_map(files: Files) -> Table:
    axis, measure = "class_correlation", "max_box_accuracy"
    return _map(files, "composed_localization", axis, measure)


@builder
def boxes_decayed(files: Files) -> Table:
    return _map(files, "composed_boxes_decayed", "position_correlation", "test_iou")


@builder
def boxes_decay(files: Files) -> Table:
    """Standard by its weight decay."""
    path = "sweeps/composed_boxes_decay/summary.csv"
    table = [["weight decay", "mean IoU", "norm of held-out OOD activations"]]
    for row in files.where(path, measure="test_iou"):
        norm = files.row(
            path, measure="heldout_ood_norm", weight_decay=row["weight_decay"]
        )
        table.append(
            [
                row["weight_decay"],
                measured(row),
                f"{float(norm['mean']):.2f}",
            ]
        )
    return table
