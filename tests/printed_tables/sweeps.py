"""Sweeps that were run."""

from __future__ import annotations

from tests.printed_tables.cells import Files, Table, builder

ALC = "sweeps/alc-weights/summary.csv"
NOISES = ("uniform", "pairflip", "instance")


@builder
def alc_weights(files: Files) -> Table:
    def cell(**where: str) -> str:
        row = files.row(ALC, labels="0", measure="accuracy", **where)
        gain = row["difference_mean"]
        text = f"{float(row['mean']):.1f} ±{float(row['std']):.1f}"
        if not gain:
            return text
        return f"{text} ({float(gain):+.1f} ±{float(row['difference_std']):.1f})"

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
