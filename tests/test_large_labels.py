"""Labels, rows and lists that are none are refused, whatever their size."""

import time
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import arrays, checks, data, scores, selection


@pytest.mark.parametrize("label", [2**32 + 1, 2**31, 300_000_000, 2**63 - 1])
def test_labels_that_are_no_class_indices(label):
    given = np.array([0, 1, label, 1])
    features, start = np.eye(4), time.perf_counter()
    tracemalloc.start()
    for refused in (
        lambda: checks.labels("labels", given),
        lambda: data.make_dataset(features, given),
        lambda: scores.class_medians(features, given),
        lambda: scores.cross_class_cosine(features, given),
        lambda: selection.rank_by_class(np.arange(4), 2, labels=given, balance="even"),
        lambda: selection.prune4rel(features, np.ones(4), 2, labels=given),
        lambda: selection.select(None, None, given, 0.5, "small_loss", losses=given),
    ):
        with pytest.raises(ValueError, match=f"labels: .*{label}|labels: got {label}"):
            refused()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("label", [2**32 + 1, -(2**32) + 1])
def test_a_label_beyond_int32_does_not_wrap_around(label):
    logits, given = np.eye(3) + 0.0, np.array([0, label, 2])
    want = scores.label_loss(logits, np.array([0, 1, 2]))
    for score in (scores.label_loss, scores.loss_plus_entropy):
        got = np.asarray(score(logits, given))
        assert np.isnan(got).tolist() == [False, True, False]
    np.testing.assert_allclose(scores.label_loss(logits, given)[0], want[0])
    got = np.asarray(scores.el2n(np.eye(3), given))
    assert np.isnan(got).tolist() == [False, True, False]
    traced = jax.jit(lambda p: scores.label_quality_scores(given, p))
    with pytest.raises(ValueError, match=f"first: {label} at row 1"):
        traced(jnp.eye(3))


def test_no_integer_wraps_around_on_its_way_to_the_device():
    with pytest.raises(ValueError, match=r"num_classes: got 8589934592, expected at"):
        checks.labels("labels", np.array([2**32 + 1]), 2**33)
    for value in (2**32 + 1, -(2**31) - 1):
        with pytest.raises(ValueError, match=f"x: got {value}, expected .* int32"):
            arrays.floats("x", np.array([0, value]))
    assert arrays.floats("x", np.array([2**31 - 1])).tolist() == [2**31 - 1]
    # Of 64 bits without a sign the device keeps 32 without one.
    for wide in (np.uint32, np.uint64):
        assert arrays.floats("x", np.array([2**32 - 1], wide)).tolist() == [2**32 - 1]
    with pytest.raises(ValueError, match="got 4294967296, expected .* uint32 can"):
        arrays.floats("x", np.array([2**32], np.uint64))
    examples = np.ones(2, np.float32), np.array([0, 2**32 + 1])
    with pytest.raises(ValueError, match="examples: got 4294967297"):
        scores.grand(lambda w, each: w * each[0], jnp.float32(1), examples)


@pytest.mark.parametrize("value", [2.5, 3.0, np.nan, np.inf, "3", np.float32(4)])
def test_a_number_of_things_is_an_integer(value):
    with pytest.raises(ValueError, match="k: got .*, expected an integer >= 1"):
        checks.at_least("k", value, 1)
    for fine in (3, np.int8(3), np.array(3), jnp.int32(3)):
        checks.at_least("k", fine, 1)


def test_truth_values_are_no_rows():
    for good in ([True, False], np.array([1.0, 0.0]), jnp.array([1, 0])):
        found = np.asarray(checks.truths("x", good))
        assert found.dtype == bool
        assert found.tolist() == [True, False]
    for bad in ([0, 2], np.array([0.5, 1]), jnp.array([-1, 0]), np.array([np.nan, 1])):
        with pytest.raises(ValueError, match="x: got .*, expected bools, or 0 and 1"):
            checks.truths("x", bad)
    with pytest.raises(ValueError, match="x: got float32 of unknown values, expected"):
        jax.jit(lambda x: checks.truths("x", x))(jnp.ones(2))


def test_every_class_is_looked_for_without_an_array_of_all_classes():
    labels = np.array([0, 1, 3])
    with pytest.raises(ValueError, match=r"class\(es\) 2, 4, 5, 6, 7 … have no exam"):
        checks.labels("labels", labels, 10**9, need_every_class=True)


def test_what_is_no_array_of_numbers_is_refused():
    masked = np.ma.masked_array([1.0, 2.0], [False, True])
    for values, message in (
        ([[1, 2], [3]], "x: got parts of different length"),
        (["a", "b"], "x: got str"),
        ([1 + 2j], "x: got complex128, expected integers, floats or booleans"),
        (np.array([1.0, None], object), "x: got None at place 1"),
        (masked, r"x: 1 value\(s\) are masked"),
        (np.array(["2020-01-01"], "datetime64[D]"), "x: got datetime64"),
    ):
        with pytest.raises(ValueError, match=message):
            arrays.numbers("x", values)
    objects = arrays.numbers("x", np.array([1, 2.5], object))
    assert objects.dtype == np.float64


def test_clean_labels_of_another_length_are_refused_whatever_their_name():
    dataset = data.make_dataset(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="labels: got 1, expected one for each of"):
        data.check_clean_labels(dataset, [0], name="labels")


@pytest.mark.parametrize("rows", [[-1], [4], [0.0], [True, False]])
def test_rows_that_are_none_are_refused(rows):
    dataset = data.make_dataset(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="rows: got"):
        data.take(dataset, rows)
