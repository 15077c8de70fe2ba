"""Data sets keep their names: ids, joins, clean-label checks, bad input."""

import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import data


def small(n=6, **changes):
    arguments = {
        "inputs": np.arange(2 * n, dtype=np.float32).reshape(n, 2),
        "labels": np.arange(n) % 3,
        "ids": np.array([f"img{i}" for i in range(n)]),
    } | changes
    return data.make_dataset(**arguments)


def test_join_brings_values_into_the_data_sets_order(rng):
    dataset = small()
    order = rng.permutation(6)
    joined = data.join(dataset, dataset.ids[order], np.arange(6)[order])
    np.testing.assert_array_equal(joined, np.arange(6))


def test_ids_match_across_types():
    dataset = small(ids=np.array([10, 20, 30, 40, 50, 60]))
    np.testing.assert_array_equal(data.rows_of(dataset, np.array(["30", "10"])), [2, 0])


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        (np.array([f"img{i}" for i in range(6)], object), "U"),
        (np.array(range(6), object), "i"),
        ([f"img{i}" for i in range(6)], "U"),
        ([*range(5), "last"], "U"),
        (np.arange(6, dtype=np.uint64), "u"),
        (np.array([f"img{i}" for i in range(6)], np.dtypes.StringDType()), "U"),
    ],
)
def test_ids_become_integers_or_strings(ids, kind):
    """What pandas hands out, strings as objects, hashes and saves as pointers."""
    dataset = small(ids=ids)
    assert dataset.ids.dtype.kind == kind
    assert dataset.ids.tolist() == [
        str(i) if kind == "U" else int(i) for i in list(ids)
    ]
    assert isinstance(dataset.ids[0].item(), str | int)
    joined = data.join(dataset, ids, np.arange(6))
    np.testing.assert_array_equal(joined, np.arange(6))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "bfloat16", "bool"])
def test_inputs_of_all_numeric_types(dtype):
    inputs = np.asarray(jnp.ones((6, 2), dtype if dtype != "int64" else "int32"))
    assert small(inputs=inputs).inputs.dtype == inputs.dtype


def test_take_keeps_names():
    part = data.take(small(), np.array([4, 1]))
    assert part.ids.tolist() == ["img4", "img1"]
    assert part.labels.tolist() == [1, 1]
    assert part.num_classes == 3


def test_clean_labels_are_checked():
    dataset = small()
    data.check_clean_labels(dataset, dataset.labels, name="clean.npy")
    with pytest.raises(ValueError, match=r"clean.npy: 2 of 6 .*id 'img0', 2 against 0"):
        data.check_clean_labels(dataset, [2, 1, 0, 0, 1, 2], name="clean.npy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": [0, 1, 2, 0, 1, 9], "class_names": ["a", "b", "c"]}, "9 at row 5"),
        ({"labels": [0, 1, -1, 0, 1, 2]}, "-1 at row 2"),
        ({"labels": [0.0, 1, 2, 0, 1, 2]}, "labels: got float64, expected integer"),
        ({"labels": [0.0, 1, np.nan, 0, 1, 2]}, "NaN at row 2"),
        ({"labels": [0, 1, 2]}, r"inputs: lengths differ \(inputs 6, labels 3\)"),
        ({"labels": [0, 0, 2, 0, 2, 2]}, r"labels: class\(es\) 1 have no example"),
        ({"labels": []}, "labels: got no labels"),
        ({"labels": [[0, 1, 2, 0, 1, 2]]}, r"labels: got shape \(1, 6\)"),
        ({"ids": ["a", "b", "a", "c", "d", "e"]}, "ids: .*first: 'a'"),
        ({"ids": ["a"]}, "ids: lengths differ"),
        (
            {"inputs": np.array([[0, 1]] * 3 + [[np.nan, 1]] + [[1, 2]] * 2)},
            r"inputs: 1 row\(s\) hold NaN or infinity \(first: row 3\)",
        ),
        (
            {"inputs": jnp.array([[0, 1]] * 5 + [[jnp.inf, 1]], jnp.bfloat16)},
            r"inputs: 1 row\(s\) hold NaN or infinity \(first: row 5\)",
        ),
        ({"inputs": np.array([["a", "b"]] * 6)}, "inputs: got str.*, expected integ"),
        ({"inputs": np.ones((6, 2), object)}, "inputs: got object, expected integers"),
        ({"inputs": np.ones((6, 2), complex)}, "inputs: got complex128, expected"),
        ({"ids": np.array(list("abacde"), object)}, "ids: .*first: 'a'"),
        ({"ids": np.arange(6.0)}, "ids: got float64, expected integers or strings"),
        ({"ids": np.array([b"a"] * 6)}, "ids: got bytes8, expected integers or str"),
        ({"ids": ["a", "b", "c", "d", np.nan, "e"]}, "ids: got nan at row 4, expect"),
        ({"ids": np.array([*"abcde", None])}, "ids: got None at row 5, expected"),
        ({"ids": [1, True, 3, 4, 5, 6]}, "ids: got True at row 1, expected"),
        ({"inputs": np.zeros(6)}, r"inputs: got shape \(6,\)"),
    ],
)
def test_bad_input(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


@pytest.mark.parametrize(
    ("ids", "values", "message"),
    [
        (["img0", "img0"], [1, 2], "ids: .*more than once .first: 'img0'"),
        (["img0", "nope"], [1, 2], r"ids: 1 id\(s\) do not occur .*'nope'"),
        (["img0", "img1"], [1, 2], r"values: 4 example\(s\) .*first: id 'img2'"),
        (["img0", "img1"], [1], "values: lengths differ"),
    ],
)
def test_bad_joins(ids, values, message):
    with pytest.raises(ValueError, match=message):
        data.join(small(), ids, values)
