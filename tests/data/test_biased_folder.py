"""Folders of images whose names end in target and bias."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from robustjax import data


def save(path, level=0, size=(5, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, 0, 0)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two ratios' layout: `1pct` holds the training set, `test` lies beside it."""
    root = tmp_path / "cmnist" / "1pct"
    for number, (part, target, bias) in enumerate(
        [
            ("align/0", 0, 0),
            ("align/1", 1, 1),
            ("align/2", 2, 2),
            ("conflict/1", 1, 0),
            ("conflict/0", 0, 2),
            ("conflict/2", 2, 1),
            ("valid", 0, 0),
            ("valid", 1, 2),
            ("valid", 2, 2),
        ]
    ):
        save(root / part / f"{number}_{target}_{bias}.png", 10 * number)
    for target in range(3):
        for bias in range(3):
            number = 3 * target + bias
            save(
                root.parent / "test" / str(target) / f"x_{number}_{target}_{bias}.png",
                number,
            )
    return root


def test_training_is_both_parts(folder):
    found = data.load_biased_folder(folder)
    assert found.dataset.ids.tolist() == [
        "align/0/0_0_0.png",
        "align/1/1_1_1.png",
        "align/2/2_2_2.png",
        "conflict/0/4_0_2.png",
        "conflict/1/3_1_0.png",
        "conflict/2/5_2_1.png",
    ]
    assert found.dataset.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert found.bias.tolist() == [0, 1, 2, 2, 0, 1]
    assert found.is_aligned.tolist() == [True] * 3 + [False] * 3
    np.testing.assert_array_equal(
        found.dataset.inputs[:, 0, 0, 0], [0, 10, 20, 40, 30, 50]
    )
    assert found.dataset.inputs.shape == (6, 4, 5, 3)
    assert found.dataset.class_names == ("0", "1", "2")
    data.check_conflicting(found)


def test_other_splits_lie_inside_or_beside(folder):
    valid = data.load_biased_folder(folder, "valid")
    assert valid.dataset.ids.tolist() == [
        "valid/6_0_0.png",
        "valid/7_1_2.png",
        "valid/8_2_2.png",
    ]
    test = data.load_biased_folder(folder, "test")
    assert len(test) == 9
    assert (test.group_counts == 1).all()
    np.testing.assert_array_equal(
        test.dataset.inputs[:, 0, 0, 0], 3 * test.dataset.labels + test.bias
    )
    # bFFHQ is scored on the conflicting part.
    part = data.take_biased(test, ~test.is_aligned)
    assert len(part) == 6


def test_names_of_bffhq(tmp_path):
    """Young and old, women and men: <number>_<age>_<gender>, no sub-folders."""
    for name in ("align/10_0_0", "align/11_1_1", "conflict/12_0_1", "conflict/7_1_0"):
        save(tmp_path / f"{name}.png")
    found = data.load_biased_folder(tmp_path, image_size=8)
    assert found.dataset.inputs.shape == (4, 8, 8, 3)
    assert found.dataset.labels.tolist() == [0, 1, 0, 1]
    assert found.bias.tolist() == [0, 1, 1, 0]


def test_what_is_no_image_is_passed_over(folder):
    (folder / "align" / "0" / ".DS_Store").write_bytes(b"")
    (folder / "align" / "notes.txt").write_text("x")
    save(folder / "align" / ".ipynb_checkpoints" / "x.png")
    save(folder / "align" / "0" / ".hidden.png")
    assert len(data.load_biased_folder(folder)) == 6


def _rename(folder, old, new):
    (folder / old).rename(folder / new)


@pytest.mark.parametrize(
    ("break_it", "options", "message"),
    [
        (
            lambda f: _rename(f, "align/0/0_0_0.png", "align/0/0-0-0.png"),
            {},
            r"path: 1 of 3 image\(s\) in .*align' are not called …_<target>_<bias> "
            r"\(first: .*0-0-0.png'\), expected two numbers at the end of every name",
        ),
        (
            lambda f: _rename(f, "align/0/0_0_0.png", "align/0/0_0_x.png"),
            {},
            "path: 1 of 3 image",
        ),
        (
            lambda f: _rename(f, "align/0/0_0_0.png", "align/0/0_0_1.png"),
            {},
            r"path: 1 image\(s\) in .*align' have target and bias that differ "
            r"\(first: 'align/0/0_0_1.png'\)",
        ),
        (
            lambda f: _rename(f, "conflict/0/4_0_2.png", "conflict/0/4_0_0.png"),
            {},
            r"path: 1 image\(s\) in .*conflict' have target and bias that agree",
        ),
        (
            lambda f: _rename(f, "align/0/0_0_0.png", "align/0/0_7_7.png"),
            {},
            r"path: class\(es\) 3, 4, 5, 6 have no example",
        ),
        (lambda f: None, {"num_classes": 2}, r"path: 2 label\(s\) out of range"),
        (lambda f: None, {"num_classes": 1}, "num_classes: got 1"),
        (
            lambda f: _rename(f, "conflict", "conflicts"),
            {},
            "path: .* has no folder 'conflict'",
        ),
        (
            lambda f: _rename(f.parent, "test", "tests"),
            {"split": "test"},
            "path: .* has no folder 'test'",
        ),
        (lambda f: None, {"split": "val"}, "split: unknown 'val'"),
        (lambda f: None, {"image_size": 0}, "image_size: got 0"),
        (
            lambda f: save(f / "align" / "0" / "9_0_0.png", size=(6, 6)),
            {},
            "path: .* has shape .* give image_size",
        ),
        (
            lambda f: (f / "align" / "0" / "0_0_0.png").write_bytes(b"no image"),
            {},
            "path: cannot read .*0_0_0.png",
        ),
    ],
)
def test_bad_folders_are_refused_in_one_line(folder, break_it, options, message):
    break_it(folder)
    with pytest.raises(ValueError, match=f"^{message}[^\n]*$"):
        data.load_biased_folder(folder, **options)


def test_folders_without_images_are_refused(folder, tmp_path):
    (tmp_path / "empty" / "align").mkdir(parents=True)
    with pytest.raises(ValueError, match=re.escape("holds no image")):
        data.load_biased_folder(tmp_path / "empty")
    with pytest.raises(ValueError, match="is not a folder"):
        data.load_biased_folder(tmp_path / "none")


@pytest.mark.slow
def test_without_pillow_it_says_what_to_install(folder):
    code = f"""
import sys
sys.modules["PIL"] = None
from robustjax import data
data.load_biased_folder({str(folder)!r})
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300
    )
    assert "ImportError: path: reading images needs Pillow; pip install" in done.stderr
