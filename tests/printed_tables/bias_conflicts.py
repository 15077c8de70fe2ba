"""How well known bias-conflicting examples are found."""

from __future__ import annotations

import numpy as np

from tests.printed_tables.cells import Files, Table, builder, of_repeats

FOUND = "bias_conflicts/colored_mnist.csv"


@builder
def known_conflicts(files: Files) -> Table:
    measures = (("auroc", "mean"), ("macro_f1", "mean"), ("macro_f1", "otsu"))
    words = ("AUROC", "macro F1, `mean`", "macro F1, `otsu`")
    rows = files.rows(FOUND)
    every = {
        key: list(dict.fromkeys(row[key] for row in rows))
        for key in ("aligned_percent", "score", "epochs")
    }
    header = [
        f"{word}, {epochs} epochs" for epochs in every["epochs"] for word in words
    ]
    table = [["aligned", "score", *header]]
    for percent in every["aligned_percent"]:
        for score in every["score"]:
            cells = []
            for epochs in every["epochs"]:
                for measure, rule in measures:
                    found = files.where(
                        FOUND,
                        aligned_percent=percent,
                        epochs=epochs,
                        score=score,
                        rule=rule,
                    )
                    values = [100 * float(row[measure]) for row in found]
                    cells.append(of_repeats(np.array(values)))
            table.append([f"{percent} %", f"`{score}`", *cells])
    return table
