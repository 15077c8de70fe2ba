"""Open-set label noise: foreign examples in the places of some."""

import jax
import numpy as np
import pytest

from robustjax import corruption

KEY = jax.random.key(3)
OWN = np.arange(60, dtype=np.uint8).reshape(20, 3)
OTHERS = 100 + np.arange(45, dtype=np.uint8).reshape(15, 3)


def test_so_many_are_replaced_by_others_each_once():
    before = OWN.copy()
    found = corruption.foreign_inputs(KEY, OWN, OTHERS, 0.4)
    np.testing.assert_array_equal(OWN, before)
    assert found.is_foreign.sum() == 8
    np.testing.assert_array_equal(
        found.inputs[~found.is_foreign], OWN[~found.is_foreign]
    )
    rows = found.rows[found.is_foreign]
    assert len(set(rows)) == 8
    np.testing.assert_array_equal(found.inputs[found.is_foreign], OTHERS[rows])
    assert (found.rows[~found.is_foreign] == -1).all()
    assert found.inputs.dtype == np.uint8


def test_limits_and_draws():
    none = corruption.foreign_inputs(KEY, OWN, OTHERS, 0.0)
    np.testing.assert_array_equal(none.inputs, OWN)
    assert not none.is_foreign.any()
    every = corruption.foreign_inputs(KEY, OWN[:15], OTHERS, 1.0)
    assert every.is_foreign.all()
    assert set(every.rows) == set(range(15))
    again = corruption.foreign_inputs(KEY, OWN, OTHERS, 0.4)
    np.testing.assert_array_equal(
        again.rows, corruption.foreign_inputs(KEY, OWN, OTHERS, 0.4).rows
    )
    other = corruption.foreign_inputs(jax.random.key(4), OWN, OTHERS, 0.4)
    assert (other.rows != again.rows).any()


@pytest.mark.parametrize(
    ("foreign", "share", "message"),
    [
        (OTHERS, 1.5, "share: got 1.5"),
        (
            OTHERS[:, :2],
            0.1,
            r"foreign: got examples of shape \(2,\), exp.*\(3,\)",
        ),
        (OTHERS.astype(np.float32), 0.1, "foreign: got float32, expected the uint8"),
        (OTHERS, 0.9, "foreign: got 15 examples, expected the 18 .* share of 0.9"),
    ],
)
def test_bad_arguments(foreign, share, message):
    with pytest.raises(ValueError, match=message):
        corruption.foreign_inputs(KEY, OWN, foreign, share)
