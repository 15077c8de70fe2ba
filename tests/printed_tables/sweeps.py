"""Sweeps that were run."""

from __future__ import annotations

from tests.printed_tables.cells import Files, Table, builder

ALC = "sweeps/alc-weights/summary.csv"
ELR = "sweeps/elr-mnist/summary.csv"
NOISES = ("uniform", "pairflip", "instance")
RATES = ("0.5", "0.8")


def gained(row: dict[str, str]) -> str:
    """A mean with its deviation, and the gain over the baseline if there is one."""
    text = f"{float(row['mean']):.1f} ±{float(row['std']):.1f}"
    gain = row["difference_mean"]
    if not gain:
        return text
    return f"{text} ({float(gain):+.1f} ±{float(row['difference_std']):.1f})"


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
