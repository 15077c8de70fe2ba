"""Pages and amendments, as a person makes them with the command."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest

from robustjax import answers, data
from robustjax.training._metrics import write_csv
from tests.harness.tool_runs import endings, run_verb

NAMES = ("cat", "dog", "cow")


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def facts(path):
    """What the page's script knows."""
    found = re.search(
        r'<script type="application/json" id="batch">(.*?)</script>', path
    )
    return json.loads(found[1])


@pytest.fixture
def animals(tmp_path):
    """Options for 40 points in three clusters, one label in ten wrong."""
    rng = np.random.default_rng(0)
    true = np.arange(40) % 3
    labels = np.where(np.arange(40) % 10, true, (true + 1) % 3)
    inputs = (rng.normal(size=(40, 4)) + 8 * np.eye(3, 4)[true]).astype(np.float32)
    ids = [f"animal <{row}>.png" for row in range(40)]
    dataset = data.make_dataset(inputs, labels, ids=ids, class_names=NAMES)
    data.save_npz(tmp_path / "animals.npz", train=dataset)
    sure = np.full((40, 3), 0.05) + 0.85 * np.eye(3)[true]
    np.save(tmp_path / "p.npy", sure)
    return tmp_path, dataset


def test_issues_have_a_page_with_pictures_texts_and_neighbours(animals):
    from PIL import Image

    folder, dataset = animals
    (folder / "pictures").mkdir()
    for row in range(0, 40, 2):
        image = Image.new("RGB", (8, 8), (row, 0, 0))
        image.save(folder / "pictures" / f"animal <{row}>.png")
    (folder / "pictures" / "animal <1>.png").write_text("no picture")
    texts = [{"id": i, "text": f"about {i}"} for i in dataset.ids.tolist()[:5]]
    write_csv(folder / "texts.csv", texts)
    fields = {
        "dataset": folder / "animals.npz",
        "probabilities": folder / "p.npy",
        "out": folder / "issues.csv",
        "audit": 6,
    }
    done = run_verb(
        "find-issues",
        **fields,
        pictures=folder / "pictures",
        texts=folder / "texts.csv",
        neighbors=2,
    )
    assert done.returncode == 0, done.stderr
    assert f"look at them on the page {folder / 'issues.html'}" in done.stdout
    text = (folder / "issues.html").read_text()
    known = facts(text)
    listed = {
        row["id"] for row in read(folder / "issues.csv") if row["is_issue"] == "True"
    }
    assert {c["id"] for c in known["cards"] if not c["drawn"]} == listed
    assert sum(card["drawn"] for card in known["cards"]) == 6
    assert known["others"] == 40 - len(known["cards"])
    assert known["classes"] == list(NAMES)
    assert "about animal &lt;0&gt;.png" in text
    assert "animal <0>" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert text.count('class="neighbors"') == len(known["cards"])
    assert "data:image/png;base64," in text
    (folder / "issues.html").unlink()
    run_verb("find-issues", **fields, page=False)
    assert not (folder / "issues.html").exists()
    bad = [
        {"pictures": folder / "absent"},
        {"texts": folder / "issues.csv"},
        {"out": folder / "issues.html"},
        {"audit": 1, "neighbors": 1, "texts": folder / "absent.csv"},
    ]
    for changes, message in zip(
        bad, ("pictures: ", "texts: .* lacks the column", "out: got ", "texts: cannot")
    ):
        (found,) = endings("find-issues", [fields | changes])
        assert re.match(message, found), found


@pytest.mark.slow
def test_answers_of_the_issues_page_start_a_correction_and_are_amended(animals):
    """With the amendment the labels are those of one who was right at once."""
    folder, _ = animals
    correction = folder / "correction"
    fields = {
        "dataset": folder / "animals.npz",
        "folder": correction,
        "batch": 8,
        "hidden": "4",
        "epochs": 1,
        "method": "entropy",
    }
    # As the page saves it.
    saved = "\ufeffid,current_label,new_label,annotator\n"
    saved += "animal <0>.png,dog,cat,Ann\nanimal <1>.png,dog,cow,Ann\n"
    (folder / "saved.csv").write_text(saved, encoding="utf-8")
    done = run_verb("correct", **fields, amend=folder / "saved.csv")
    assert done.returncode == 0, done.stderr
    assert "saved.csv: took in 2: 2 changed; 0 still open" in done.stdout
    assert f"answer on the page {correction / 'to_label.html'}, or fill" in done.stdout
    asked = read(correction / "to_label.csv")
    assert not {"animal <0>.png", "animal <1>.png"} & {row["id"] for row in asked}
    known = facts((correction / "to_label.html").read_text())
    assert [card["id"] for card in known["cards"]] == [row["id"] for row in asked]
    asked[0]["new_label"] = asked[0]["current_label"]
    write_csv(correction / "labeled.csv", asked)
    # Another person, and another batch.
    (folder / "saved.csv").write_text(
        "id;new_label;annotator\r\nanimal <1>.png;1.0;Ann\r\nanimal <0>.png;cow;Ben\r\n"
    )
    done = run_verb("correct", **fields | {"batch": 5}, amend=folder / "saved.csv")
    assert "labeled.csv: took in 1: 1 confirmed; 7 still open" in done.stdout
    assert "saved.csv: took in 2: 1 changed, 1 disputed; 7 still open" in done.stdout
    assert "people disagree about 1 example(s)" in done.stdout
    assert "(5 questions)" in done.stdout
    status = {row["id"]: row for row in read(correction / "labels.csv")}
    assert status["animal <1>.png"]["label"] == "dog"
    assert status["animal <0>.png"]["status"] == "disputed"
    events = answers.read_history(correction / "answers.jsonl")
    times = [event.at for event in events]
    assert times == sorted(times)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", times[0])


@pytest.mark.slow
def test_a_pools_page_offers_what_belongs_to_no_class(animals):
    folder, dataset = animals
    np.savez(folder / "pool.npz", inputs=dataset.inputs, ids=dataset.ids)
    known = [{"id": "animal <4>.png", "label": "dog"}]
    write_csv(folder / "known.csv", known)
    done = run_verb(
        "label",
        dataset=folder / "pool.npz",
        known=folder / "known.csv",
        classes="cat,dog",
        folder=folder / "labelling",
        batch=6,
        method="random",
        hidden="4",
        epochs=1,
        steps_per_epoch=1,
    )
    assert done.returncode == 0, done.stderr
    found = facts((folder / "labelling" / "to_label.html").read_text())
    assert found["none_of_them"]
    assert not found["labeled"]
    assert len(found["cards"]) == 6
