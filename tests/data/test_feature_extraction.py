"""Feature extraction: kills, caches, damage and errors."""

import io
import json
import logging

import numpy as np
import pytest

from robustjax import data


class KilledError(Exception):
    pass


class Network:
    """A deterministic feature function that counts its calls and can be killed."""

    def __init__(self, dies_after=None):
        self.calls = 0
        self.shapes = set()
        self._dies_after = dies_after

    def __call__(self, images):
        if self.calls == self._dies_after:
            raise KilledError
        self.calls += 1
        self.shapes.add(images.shape)
        x = images.reshape(len(images), -1).astype(np.float64) / 255
        return np.stack([x.mean(1), x.std(1), x[:, 0] - x[:, -1]], 1)


@pytest.fixture
def images(rng):
    return data.make_dataset(
        rng.integers(0, 256, (53, 4, 4, 1), np.uint8),
        np.arange(53) % 3,
        ids=np.asarray([f"image{i}" for i in rng.permutation(53)]),
        class_names=["a", "b", "c"],
        name="noise",
    )


def extract(dataset, network, folder, fingerprint="net 1", **kwargs):
    arguments = {"batch_size": 4, "block_size": 10} | kwargs
    return data.extract_features(
        dataset, network, cache_dir=folder, fingerprint=fingerprint, **arguments
    )


def blocks(folder):
    return sorted(folder.glob("*/*.npy"))


def test_features_keep_ids_labels_and_names(images, tmp_path):
    network = Network()
    got = extract(images, network, tmp_path)
    want = Network()(images.inputs).astype(np.float32)
    np.testing.assert_array_equal(got.inputs, want)
    assert got.inputs.dtype == np.float32
    np.testing.assert_array_equal(got.ids, images.ids)
    np.testing.assert_array_equal(got.labels, images.labels)
    assert (got.class_names, got.name) == (images.class_names, images.name)
    # Three batches per full block and one for the last: always of the same shape.
    assert (network.calls, network.shapes) == (16, {(4, 4, 4, 1)})
    np.testing.assert_array_equal(np.load(blocks(tmp_path)[1]), want[10:20])


@pytest.mark.parametrize(("dies_after", "kept"), [(0, 0), (2, 0), (3, 1), (14, 4)])
def test_a_killed_extraction_goes_on_after_its_last_block(
    images, tmp_path, dies_after, kept
):
    whole = extract(images, Network(), tmp_path / "whole")
    with pytest.raises(KilledError):
        extract(images, Network(dies_after), tmp_path / "killed")
    assert len(blocks(tmp_path / "killed")) == kept
    rest = Network()
    got = extract(images, rest, tmp_path / "killed")
    assert rest.calls == 16 - 3 * kept
    assert got.inputs.tobytes() == whole.inputs.tobytes()


def test_a_kill_while_writing_leaves_no_block(images, tmp_path, monkeypatch):
    class Torn(io.FileIO):
        def write(self, content):
            super().write(content[: len(content) // 2])
            raise KilledError

    def torn(path, mode="r", *arguments, **keywords):
        if str(path).endswith(".partial"):
            return Torn(path, mode)
        return open(path, mode, *arguments, **keywords)

    whole = extract(images, Network(), tmp_path / "whole")
    with pytest.raises(KilledError):
        extract(images, Network(3), tmp_path / "killed")
    with monkeypatch.context() as patch:
        patch.setattr("robustjax.files.open", torn, raising=False)
        with pytest.raises(KilledError):
            extract(images, Network(), tmp_path / "killed")
    assert len(blocks(tmp_path / "killed")) == 1
    assert not list((tmp_path / "killed").glob("*/*.partial"))
    got = extract(images, Network(), tmp_path / "killed")
    np.testing.assert_array_equal(got.inputs, whole.inputs)


def test_a_finished_extraction_is_read_back(images, tmp_path):
    first = extract(images, Network(), tmp_path)
    again = extract(images, Network(dies_after=0), tmp_path)
    np.testing.assert_array_equal(again.inputs, first.inputs)
    other_batches = extract(images, Network(dies_after=0), tmp_path, batch_size=7)
    np.testing.assert_array_equal(other_batches.inputs, first.inputs)


def flip_a_bit(content):
    return content[:-50] + bytes([content[-50] ^ 1]) + content[-49:]


@pytest.mark.parametrize(
    "damage",
    [lambda c: c[: len(c) // 2], lambda c: c[:-1], lambda c: b"", flip_a_bit],
)
def test_damaged_blocks_are_reported_and_computed_again(
    images, tmp_path, damage, caplog
):
    first = extract(images, Network(), tmp_path)
    victim = blocks(tmp_path)[2]
    intact = victim.read_bytes()
    victim.write_bytes(damage(intact))
    network = Network()
    sentences = []
    got = extract(images, network, tmp_path, report=sentences.append)
    assert network.calls == 3
    assert len(sentences) == 1
    assert "00002.npy cannot be read (its content does not match" in sentences[0]
    np.testing.assert_array_equal(got.inputs, first.inputs)
    assert victim.read_bytes() == intact
    victim.write_bytes(damage(intact))
    with caplog.at_level(logging.WARNING):
        extract(images, Network(), tmp_path)
    assert "computing them again" in caplog.text


def test_a_block_of_another_extraction_does_not_fit(images, tmp_path):
    first = extract(images, Network(), tmp_path)
    parts = blocks(tmp_path)
    parts[1].write_bytes(parts[5].read_bytes())
    sentences = []
    got = extract(images, Network(), tmp_path, report=sentences.append)
    assert "its shape (3, 3) does not fit the others" in sentences[0]
    np.testing.assert_array_equal(got.inputs, first.inputs)


def test_other_data_or_functions_get_their_own_folder(images, tmp_path):
    extract(images, Network(), tmp_path)
    changed = images.inputs.copy()
    changed[-1, -1, -1, -1] ^= 1
    changed = data.make_dataset(changed, images.labels)
    for dataset, fingerprint, kwargs in (
        (changed, "net 1", {}),
        (images, "net 2", {}),
        (images, "net 1", {"block_size": 20}),
        (data.take(images, np.arange(52)), "net 1", {}),
    ):
        network = Network()
        extract(dataset, network, tmp_path, fingerprint, **kwargs)
        assert network.calls > 0
    assert len(list(tmp_path.iterdir())) == 5
    # Neither ids nor labels make a difference to features.
    renamed = data.make_dataset(images.inputs, np.zeros(53, int))
    extract(renamed, Network(dies_after=0), tmp_path)
    notes = [json.loads(path.read_text()) for path in tmp_path.glob("*/about.json")]
    assert {note["features"] for note in notes} == {"net 1", "net 2"}


def test_what_fills_the_last_batch_is_inert(images, tmp_path):
    def with_batch_size(batch_size):
        return extract(
            images, Network(), tmp_path / str(batch_size), batch_size=batch_size
        ).inputs

    want = with_batch_size(1)
    for batch_size in (3, 10, 64):
        np.testing.assert_array_equal(with_batch_size(batch_size), want)


def test_progress_counts_rows_up_to_the_last(images, tmp_path):
    seen = []
    with pytest.raises(KilledError):
        extract(images, Network(3), tmp_path, progress=lambda *at: seen.append(at))
    assert seen == [(0, 53), (4, 53), (8, 53), (10, 53)]
    seen.clear()
    extract(images, Network(), tmp_path, progress=lambda *at: seen.append(at))
    assert seen[:3] == [(0, 53), (10, 53), (14, 53)]
    assert seen[-1] == (53, 53)
    assert seen == sorted(seen)


def test_bad_arguments(images, tmp_path):
    with pytest.raises(ValueError, match="fingerprint: got none"):
        extract(images, Network(), tmp_path, "")
    with pytest.raises(ValueError, match="batch_size: got 0"):
        extract(images, Network(), tmp_path, batch_size=0)
    with pytest.raises(ValueError, match="block_size: got 0"):
        extract(images, Network(), tmp_path, block_size=0)
    with pytest.raises(ValueError, match="dataset: got 0"):
        extract(data.take(images, np.arange(0)), Network(), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cache_dir: cannot write to .*file'"):
        extract(images, Network(), tmp_path / "file")


def test_bad_features(images, tmp_path):
    with pytest.raises(ValueError, match=r"got features of shape \(4, 4, 4, 1\), ex"):
        extract(images, lambda x: x, tmp_path)
    with pytest.raises(ValueError, match=r"shape \(3, 2\), expected \(4, D\)"):
        extract(images, lambda x: np.zeros((3, 2)), tmp_path)
    widths = iter([2, 2, 2, 5])
    with pytest.raises(ValueError, match=r"shape \(4, 5\), expected \(4, 2\)"):
        extract(images, lambda x: np.zeros((4, next(widths))), tmp_path, "widths")
    bad = images.inputs[21]

    def broken(x):
        features = np.zeros((len(x), 2))
        features[(x == bad).all((1, 2, 3))] = np.nan
        return features

    identity = images.ids[21]
    with pytest.raises(
        ValueError, match=rf"id '{identity}' \(row 21\), expected finite"
    ):
        extract(images, broken, tmp_path, "broken")
