"""Tables of pictures: paths beside labels, and folders that `datasets` saved."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from robustjax import data
from tests.harness.tool_runs import run_verb

pa = pytest.importorskip("pyarrow")
Image = pytest.importorskip("PIL.Image")

KINDS = ("Uhu", "Kauz ü")


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), np.uint8)


def _manifest(folder, pixels, labels=None, **more):
    """Six files in two folders, and the table beside them."""
    lines = ["datei;label" + "".join(f";{name}" for name in more)]
    for row, image in enumerate(pixels):
        name = f"alle Bilder/{row % 2}/№ {row}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)
        label = KINDS[row % 2] if labels is None else labels[row]
        lines.append(";".join([name, label, *(str(v[row]) for v in more.values())]))
    (folder / "liste.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "liste.csv"


def test_paths_are_seen_from_the_table_and_name_the_rows(tmp_path, pixels):
    path = _manifest(tmp_path, pixels, split=["train"] * 4 + ["test"] * 2)
    found = data.load(str(path), "train", image_column="datei")
    np.testing.assert_array_equal(found.inputs, pixels[:4])
    assert found.class_names == ("Kauz ü", "Uhu")
    assert found.labels.tolist() == [1, 0, 1, 0]
    assert found.ids.tolist()[1] == "alle Bilder/1/№ 1.png"
    assert len(data.load(str(path), "test", image_column="datei")) == 2
    small = data.load_picture_table(path, "datei", image_size=8)
    assert small.inputs.shape == (6, 8, 8, 3)
    # A table without a place of its own says where its files are.
    frame = pa.table({"p": ["№ 0.png", "№ 2.png"], "label": [5, 7], "id": [3, 4]})
    mine = data.load_picture_table(frame, "p", folder=tmp_path / "alle Bilder" / "0")
    np.testing.assert_array_equal(mine.inputs, pixels[[0, 2]])
    assert mine.ids.tolist() == [3, 4]


def test_what_is_wrong_with_a_manifest_is_named(tmp_path, pixels):
    path = _manifest(tmp_path, pixels)
    with pytest.raises(ValueError, match="image_column: got 'x', expected one of 'dat"):
        data.load_picture_table(path, "x")
    with pytest.raises(ValueError, match="image_column: got 'datei' for 'digits'"):
        data.load("digits", "train", image_column="datei")
    missing = tmp_path / "alle Bilder" / "1" / "№ 3.png"
    missing.unlink()
    with pytest.raises(ValueError, match=r"cannot read '.*№ 3.png': No such file"):
        data.load_picture_table(path, "datei")
    blank = pa.table({"p": ["№ 0.png", ""], "label": [5, 7]})
    with pytest.raises(ValueError, match=r"image_column: row 1 .* has nothing"):
        data.load_picture_table(blank, "p", folder=tmp_path / "alle Bilder" / "0")


def test_rows_without_a_label_are_named_by_their_paths(tmp_path, pixels):
    path = _manifest(tmp_path, pixels, labels=["a", "b", "", "a", "b", ""])
    done = run_verb(
        "find-issues",
        dataset=path,
        image_column="datei",
        issues="unlabeled,classes",
        out=tmp_path / "report.jsonl",
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(x) for x in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows if row["is_unlabeled"]] == [
        "alle Bilder/0/№ 2.png",
        "alle Bilder/1/№ 5.png",
    ]


def _save(folder, table, features):
    """As `Dataset.save_to_disk` writes it."""
    folder.mkdir(parents=True)
    name = "data-00000-of-00001.arrow"
    with pa.ipc.new_stream(str(folder / name), table.schema) as file:
        file.write_table(table)
    state = {"_data_files": [{"filename": name}], "_indices_files": None}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))


_LABEL = {"names": list(KINDS), "_type": "ClassLabel"}


def test_a_folder_that_datasets_saved_has_names_of_classes(tmp_path):
    def table(labels):
        vectors = [[float(row), 1.5] for row in range(len(labels))]
        return pa.table({"label": labels, "vector": vectors})

    features = {"label": _LABEL, "vector": {"feature": {}, "_type": "List"}}
    _save(tmp_path / "saved" / "train", table([1, 0, 1]), features)
    _save(tmp_path / "saved" / "test", table([1, -1]), features)
    (tmp_path / "saved" / "dataset_dict.json").write_text(
        '{"splits": ["train", "test"]}'
    )
    found = data.load(str(tmp_path / "saved"), "train")
    assert found.class_names == ("Kauz ü", "Uhu")
    assert found.labels.tolist() == [0, 1, 0]
    assert found.inputs.tolist() == [[0, 1.5], [1, 1.5], [2, 1.5]]
    assert found.name.endswith("saved[train]")
    with pytest.raises(ValueError, match="row 1 .from 0. has nothing in 'label'"):
        data.load(str(tmp_path / "saved"), "test")
    with pytest.raises(ValueError, match="split: got 'dev' .* expected one of tr"):
        data.load(str(tmp_path / "saved"), "dev")
    alone = data.load(str(tmp_path / "saved" / "train"), "train")
    assert alone.labels.tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="split: got 'test', but .* is one split"):
        data.load(str(tmp_path / "saved" / "train"), "test")


def test_images_in_a_saved_folder_are_the_inputs(tmp_path, pixels):
    content = []
    for number, image in enumerate(pixels):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        content.append({"bytes": file.getvalue(), "path": f"{number}.png"})
    table = pa.table({"image": content, "label": [0, 1] * 3, "size": [1.0] * 6})
    features = {
        "image": {"_type": "Image"},
        "label": _LABEL,
        "size": {"_type": "Value"},
    }
    _save(tmp_path / "saved", table, features)
    found = data.load(str(tmp_path / "saved"), "train")
    np.testing.assert_array_equal(found.inputs, pixels)
    assert found.labels.tolist() == [1, 0] * 3
    (tmp_path / "saved" / "state.json").write_text("{")
    with pytest.raises(ValueError, match="path: cannot read") as caught:
        data.load(str(tmp_path / "saved"), "train")
    assert "\n" not in str(caught.value)
