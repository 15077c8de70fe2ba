"""What was labelled in CVAT or Label Studio, as data sets."""

from __future__ import annotations

import json

import numpy as np
import pytest

from robustjax import data
from tests.harness.tool_runs import run_verb

pytest.importorskip("pyarrow")
Image = pytest.importorskip("PIL.Image")

KINDS = ("Uhu", "Kauz ü", "Uhu", "Kauz ü")


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (4, 5, 4, 3), np.uint8)


def _cvat(folder, pixels, tags, below=""):
    """An export, and its images below a folder."""
    images = []
    for row, (image, tag) in enumerate(zip(pixels, tags)):
        place = folder / below / "a & b" / f"{row}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place)
        inside = f'<tag label="{tag}" source="manual"/>' if tag else ""
        images.append(f'<image id="{row}" name="a &amp; b/{row}.png">{inside}</image>')
    path = folder / "annotations.xml"
    path.write_text(
        f"<annotations><version>1.1</version>{''.join(images)}</annotations>",
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize("below", ["", "images"])
def test_images_tagged_in_cvat(tmp_path, pixels, below):
    path = _cvat(tmp_path, pixels, KINDS, below)
    found = data.load(str(path), "train")
    np.testing.assert_array_equal(found.inputs, pixels)
    assert found.class_names == ("Kauz ü", "Uhu")
    assert found.labels.tolist() == [1, 0, 1, 0]
    assert found.ids.tolist() == [f"a & b/{row}.png" for row in range(4)]


def test_images_without_a_tag_are_rows_without_a_label(tmp_path, pixels):
    path = _cvat(tmp_path, pixels, ("Uhu", "", "Uhu", "Kauz ü"))
    with pytest.raises(ValueError, match="1 row.* without a label|label"):
        data.load(str(path), "train")
    found = data.load(str(path), "train", skip_unlabeled=True)
    np.testing.assert_array_equal(found.inputs, pixels[[0, 2, 3]])
    assert data.unlabeled_ids(path).tolist() == ["a & b/1.png"]
    path.write_text("<!DOCTYPE x><annotations/>")
    with pytest.raises(ValueError, match="line 1 declares a document type"):
        data.load(str(path), "train")


def _task(number, fields, *choices, cancelled=False):
    return {
        "id": 100 + number,
        "data": fields,
        "annotations": [
            {
                "completed_by": who,
                "was_cancelled": cancelled,
                "result": [{"type": "choices", "value": {"choices": [choice]}}],
            }
            for who, choice in enumerate(choices)
        ],
    }


def _label_studio(folder, tasks):
    path = folder / "export.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def test_images_labelled_in_label_studio(tmp_path, pixels):
    (tmp_path / "my pictures").mkdir()
    tasks = []
    for row, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "my pictures" / f"{row}.png")
        place = f"/data/local-files/?d=my%20pictures/{row}.png"
        # Two annotators who agree, and the task that one of them gave up.
        tasks.append(_task(row, {"image": place}, KINDS[row], KINDS[row]))
    tasks[2]["annotations"][1]["was_cancelled"] = True
    tasks[2]["annotations"][1]["result"][0]["value"]["choices"] = ["?"]
    path = _label_studio(tmp_path, tasks)
    found = data.load(str(path), "train", image_column="image")
    np.testing.assert_array_equal(found.inputs, pixels)
    assert found.labels.tolist() == [1, 0, 1, 0]
    assert found.ids.tolist() == [100, 101, 102, 103]
    tasks[1] = _task(1, {"image": "x"}, "Uhu", "Kauz ü")
    with pytest.raises(ValueError, match="chose 'Kauz ü', 'Uhu' for task 2"):
        data.load(str(_label_studio(tmp_path, tasks)), "train", image_column="image")


@pytest.mark.slow
def test_texts_labelled_in_label_studio(tmp_path):
    words = ("who who owl night", "tea cup saucer milk")
    tasks = [
        _task(
            i, {"id": f"n{i}", "text": f"{words[i % 2]} {i}"}, ("bird", "drink")[i % 2]
        )
        for i in range(24)
    ]
    tasks[5] = _task(5, {"id": "n5", "text": f"{words[1]} 5"}, "bird")
    path = _label_studio(tmp_path, [*tasks, _task(24, {"id": "n24", "text": "new"})])
    done = run_verb(
        "find-issues",
        dataset=path,
        embed_column="text",
        issues="labels,unlabeled",
        epochs=30,
        out=tmp_path / "issues.csv",
    )
    assert done.returncode == 0, done.stderr
    rows = (tmp_path / "issues.csv").read_text().splitlines()
    assert len(rows) == 1 + 25
    # The one that was answered wrong comes first, the one that was not answered last.
    assert rows[1].startswith("n5,bird,drink,")
    assert rows[1].endswith(",True,False")
    assert rows[-1] == "n24,,,,,True"
