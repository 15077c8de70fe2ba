"""Parts of photographs as OOD images."""

import numpy as np
import pytest
from PIL import Image

from robustjax import data


@pytest.fixture
def photographs(tmp_path):
    """Three files of different sizes, each of a colour of its own."""
    sizes = {"a.png": (300, 200), "deep/b.png": (90, 400), "c.png": (64, 64)}
    for number, (name, size) in enumerate(sizes.items()):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", size, (50 * (number + 1), 0, 0)).save(path)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_files_are_found_however_deep(photographs):
    found = data.image_files(photographs)
    assert [str(f.relative_to(photographs)) for f in found] == [
        *("a.png", "c.png", "deep/b.png")
    ]
    (photographs / "empty").mkdir()
    with pytest.raises(ValueError, match="path: no image below"):
        data.image_files(photographs / "empty")
    with pytest.raises(ValueError, match="path: .*is not a folder"):
        data.image_files(photographs / "none")


def test_every_photograph_gives_as_many(photographs):
    files = data.image_files(photographs)
    crops = data.photograph_crops(
        files, np.random.default_rng(0), count=20, size=(8, 6)
    )
    assert crops.shape == (20, 8, 6, 3)
    assert crops.dtype == np.uint8
    colors, counts = np.unique(crops[:, 0, 0, 0], return_counts=True)
    assert set(colors) == {50, 100, 150}
    assert sorted(counts) == [6, 7, 7]
    # Shuffled, and the same for the same generator.
    assert (np.diff(crops[:, 0, 0, 0].astype(int)) < 0).any()
    again = data.photograph_crops(
        files, np.random.default_rng(0), count=20, size=(8, 6)
    )
    np.testing.assert_array_equal(again, crops)


def test_squares_are_as_large_as_asked(tmp_path):
    """A ramp over the width: a square's range of values is its share of it."""
    ramp = np.repeat(np.linspace(0, 255, 512, dtype=np.uint8)[None], 512, 0)
    Image.fromarray(np.stack([ramp] * 3, -1)).save(tmp_path / "ramp.png")
    crops = data.photograph_crops(
        [tmp_path / "ramp.png"],
        np.random.default_rng(1),
        count=200,
        size=(32, 32),
        side=(0.2, 0.4),
    )
    rows = crops[:, 16, :, 0].astype(float)
    # From the middle of the first of 32 pixels to that of the last.
    reach = (rows[:, -1] - rows[:, 0]) / 255 * 32 / 31
    assert reach.min() > 0.18
    assert reach.max() < 0.42
    assert reach.max() - reach.min() > 0.15
    assert rows[:, 0].min() < 30
    assert rows[:, -1].max() > 225


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"paths": []}, "paths: got none"),
        ({"paths": "a.png"}, "paths: got 'a.png' alone, expected a list of files"),
        ({"count": 0}, "count: got 0"),
        ({"size": (0, 3)}, "size: got 0"),
        ({"side": (0.5, 0.2)}, r"side: got \(0.5, 0.2\), expected 0 < low"),
        ({"side": (0.5, 1.2)}, "side: got"),
        ({"side": (0.2, 0.3, 0.9)}, "side: got"),
    ],
)
def test_bad_arguments(photographs, given, message):
    files = data.image_files(photographs)
    whole = {"paths": files, "count": 3, "size": (8, 8), **given}
    with pytest.raises(ValueError, match=message):
        data.photograph_crops(whole.pop("paths"), np.random.default_rng(0), **whole)
    (photographs / "d.png").write_text("broken")
    with pytest.raises(ValueError, match=r"paths: .*d\.png"):
        data.photograph_crops(
            [photographs / "d.png"], np.random.default_rng(0), count=1, size=(8, 8)
        )
