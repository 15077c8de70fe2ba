"""The other side of `data_report`: what a user of cleanlab's Datalab writes.

    python datalab_peer.py table.csv found.json
    python datalab_peer.py images found.json
    python datalab_peer.py table.csv found.json order

The last looks at the order of rows alone. A table has the columns `id` and `label`; of
a folder, `train/<class>/<id>.png` are the images. The functions but the last are the
user's code, of which lines are counted. Needs cleanlab[datalab] and scikit-learn,
nothing of ours.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any


def of_a_table(path: str) -> tuple[Any, Any]:
    """Ids and Datalab's issues of a CSV file."""
    import pandas as pd
    from cleanlab import Datalab
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.preprocessing import StandardScaler

    table = pd.read_csv(path, dtype={"label": str})
    features = table.drop(columns=["id", "label"]).to_numpy()
    features = StandardScaler().fit_transform(features)
    model = LogisticRegression(max_iter=1000)
    labels = table["label"]
    probabilities = cross_val_predict(
        model, features, labels, cv=5, method="predict_proba"
    )
    lab = Datalab({"label": labels.tolist()}, label_name="label", verbosity=0)
    lab.find_issues(pred_probs=probabilities, features=features)
    return table["id"].tolist(), lab.get_issues()


def of_images(path: str) -> tuple[Any, Any]:
    """Ids and Datalab's issues of a folder."""
    import numpy as np
    from cleanlab import Datalab
    from PIL import Image
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    files = sorted(pathlib.Path(path, "train").glob("*/*.png"))
    labels = [file.parent.name for file in files]
    features = np.stack([np.asarray(Image.open(file)) for file in files])
    features = features.reshape(len(files), -1) / 255
    model = LogisticRegression(max_iter=1000)
    probabilities = cross_val_predict(
        model, features, labels, cv=5, method="predict_proba"
    )
    lab = Datalab({"label": labels}, label_name="label", verbosity=0)
    lab.find_issues(pred_probs=probabilities, features=features)
    return [int(file.stem) for file in files], lab.get_issues()


def order_of_a_table(path: str) -> float:
    """The p-value of Datalab's look at the order of rows."""
    import pandas as pd
    from cleanlab import Datalab
    from sklearn.preprocessing import StandardScaler

    table = pd.read_csv(path, dtype={"label": str})
    features = table.drop(columns=["id", "label"]).to_numpy()
    features = StandardScaler().fit_transform(features)
    lab = Datalab({"label": table["label"].tolist()}, label_name="label", verbosity=0)
    lab.find_issues(features=features, issue_types={"non_iid": {}})
    return float(lab.get_info("non_iid")["p-value"])


def main(path: str, out: str, order: str = "") -> None:
    """Runs the user's code and says which rows it flags, kind by kind."""
    from importlib import metadata

    if order:
        pathlib.Path(out).write_text(json.dumps(order_of_a_table(path)))
        return
    ids, issues = (of_images if pathlib.Path(path).is_dir() else of_a_table)(path)
    columns = {
        "labels": "is_label_issue",
        "near duplicates": "is_near_duplicate_issue",
        "outliers": "is_outlier_issue",
        "rare class": "is_class_imbalance_issue",
    }
    found = {
        kind: [int(i) for i, flag in zip(ids, issues[column]) if flag]
        for kind, column in columns.items()
    }
    score = issues["near_duplicate_score"]
    # It tells exact copies by this score alone.
    found["exact duplicates"] = [int(i) for i, s in zip(ids, score) if s == 0]
    versions = {
        name: metadata.version(name) for name in ("cleanlab", "datasets", "pandas")
    }
    text = json.dumps({"found": found, "versions": versions})
    pathlib.Path(out).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
