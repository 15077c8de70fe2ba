"""Loaders that say which example is which: every number stays with its example."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from examples import loaders

N, BATCH = 20, 8


def _examples():
    return [{"image": np.full(3, i, np.float32), "label": i % 4} for i in range(N)]


def _check(batches, epochs=4):
    """Over several epochs the numbers are those of the images, and none comes twice."""
    orders = []
    for batch in itertools.islice(batches, epochs * (N // BATCH)):
        index = np.asarray(batch["index"])
        assert index.dtype == np.int32
        assert index.shape == (BATCH,)
        assert len(set(index.tolist())) == BATCH
        np.testing.assert_array_equal(np.asarray(batch["image"])[:, 0], index)
        np.testing.assert_array_equal(np.asarray(batch["label"]), index % 4)
        orders.append(index)
    epochs_seen = np.concatenate(orders).reshape(epochs, -1)
    for first, second in itertools.pairwise(epochs_seen):
        assert len(set(first.tolist())) == first.size
        assert (first != second).any()
    assert set(epochs_seen.ravel().tolist()) == set(range(N))


def test_grain():
    pytest.importorskip("grain")
    _check(loaders.grain_batches(_examples(), BATCH, seed=1))


def test_grain_needs_its_batches_before_the_repetition():
    """What the recipe avoids, so that it is noticed if grain ever changes."""
    grain = pytest.importorskip("grain")
    counted = grain.MapDataset.source(_examples()).map_with_index(lambda i, _: i)
    assert max(counted.repeat(2)) == 2 * N - 1
    shuffled = grain.MapDataset.range(N).seed(3).shuffle().repeat(3).batch(BATCH)
    assert min(len(set(batch.tolist())) for batch in shuffled) < BATCH


def test_tf_data():
    tf = pytest.importorskip("tensorflow")
    stacked = {
        "image": np.stack([e["image"] for e in _examples()]),
        "label": np.array([e["label"] for e in _examples()]),
    }
    dataset = tf.data.Dataset.from_tensor_slices(stacked)
    batches = loaders.tf_data_batches(dataset, BATCH, seed=1)
    _check(batches.as_numpy_iterator())


@pytest.mark.parity
def test_torch():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    pairs = [(torch.full((3,), float(i)), i % 4) for i in range(N)]
    loader = torch.utils.data.DataLoader(
        loaders.Numbered(pairs), batch_size=BATCH, shuffle=True, drop_last=True
    )

    def forever():
        while True:
            for image, label, index in loader:
                number = index.numpy().astype(np.int32)
                yield {"image": image.numpy(), "label": label.numpy(), "index": number}

    _check(forever())
    kept = torch.utils.data.Subset(pairs, [3, 7, 11])
    assert [item[2] for item in map(loaders.Numbered(kept).__getitem__, range(3))] == [
        0,
        1,
        2,
    ]


def test_names_become_numbers_whatever_their_order():
    names = [f"train_{i:05d}" for i in range(N)]
    shuffled = np.random.default_rng(0).permutation(names)
    table = loaders.IdTable(shuffled)
    assert len(table) == N
    batch = np.array([names[7].encode(), names[0].encode(), names[19].encode()], object)
    numbers = table(batch)
    np.testing.assert_array_equal(numbers, [7, 0, 19])
    assert numbers.dtype == np.int32
    np.testing.assert_array_equal(loaders.IdTable(names)(shuffled), table(shuffled))
    with pytest.raises(ValueError, match=r"ids: 'train_00020' is not in the table"):
        table([names[0], "train_00020"])
    with pytest.raises(ValueError, match=r"ids: 'train_00003' occurs twice"):
        loaders.IdTable([*names, names[3]])
