"""Label issues of probabilities that are never in memory together."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import NamedSharding, PartitionSpec

from robustjax import data, row_source, scores


def drawn(seed, size=240, classes=4):
    """Few distinct probabilities: ties everywhere."""
    rng = np.random.default_rng(seed)
    parts = rng.integers(1, 5, (size, classes)).astype(np.float32)
    labels = rng.integers(classes, size=size)
    parts[np.arange(size), labels] += rng.integers(0, 5, size)
    return labels, parts / parts.sum(axis=1, keepdims=True)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(row_source, "_BLOCK_BYTES", 4 * 4 * 7)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(scores.FILTERS),
    st.sampled_from([None, *scores.QUALITY_METHODS]),
    st.sampled_from([1, 20]),
)
def test_a_file_and_devices_give_what_an_array_gives(seed, how, ranked, keep):
    labels, probabilities = drawn(seed)
    arguments = {
        "filter_by": how,
        "return_indices_ranked_by": ranked,
        "min_examples_per_class": keep,
    }
    want = scores.find_label_issues(labels, probabilities, **arguments)
    mesh = jax.make_mesh((8,), ("data",))
    divided = jax.device_put(probabilities, NamedSharding(mesh, PartitionSpec("data")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_source, "_BLOCK_BYTES", 4 * 4 * 7)
        of_file = scores.find_label_issues(labels, Rows(probabilities), **arguments)
        of_devices = scores.find_label_issues(labels, divided, **arguments)
    np.testing.assert_array_equal(of_file, want)
    np.testing.assert_array_equal(of_devices, want)


class Rows(row_source.RowSource):
    """Rows that say how many of them were ever asked for together."""

    def __init__(self, array):
        self.shape, self.dtype, self._array = array.shape, array.dtype, array
        self.most = 0

    def __getitem__(self, rows):
        found = self._array[rows]
        self.most = max(self.most, len(found))
        return found

    def __array__(self, *_, **__):
        raise AssertionError("all rows at once")


def test_no_more_than_a_block_is_read_at_once(small_blocks):
    labels, probabilities = drawn(0)
    rows = Rows(probabilities)
    scores.find_label_issues(labels, rows, return_indices_ranked_by="self_confidence")
    assert rows.most == 7


def test_rows_of_a_file(tmp_path, small_blocks):
    labels, probabilities = drawn(1)
    np.save(tmp_path / "p.npy", probabilities)
    found = scores.find_label_issues(labels, data.open_rows(tmp_path / "p.npy"))
    np.testing.assert_array_equal(
        found, scores.find_label_issues(labels, probabilities)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": np.nan}, r"pred_probs: 1 row\(s\) hold NaN .*first: row 100\)"),
        ({"value": 0.9}, r"pred_probs: 1 row\(s\) do not sum to 1 \(first: row 100,"),
        ({"labels": np.zeros(9, int)}, "labels 9, pred_probs 240"),
    ],
)
def test_errors_name_rows_of_the_file(small_blocks, change, message):
    labels, probabilities = drawn(2)
    if "value" in change:
        probabilities[100, 0] = change["value"]
    with pytest.raises(ValueError, match=message):
        scores.find_label_issues(change.get("labels", labels), Rows(probabilities))
