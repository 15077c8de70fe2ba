"""Copies are worth exactly the same to every greedy selection, whatever rounds."""

import numpy as np
import pytest

from robustjax import selection
from robustjax.selection._cosine_kernel import cosines, inverse_norms
from robustjax.selection._equal_rows import first_equal_rows

COPIED, COPIES, D = 15, 2, 6


def copied(seed=0):
    """15 far apart rows, each twice, whose computed cosine with itself is not 1."""
    rng = np.random.default_rng(seed)
    while True:
        x = rng.normal(size=(COPIED, D)).astype(np.float32)
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        if (unit @ unit.T - 2 * np.eye(COPIED)).max() < 0.85:
            break
    inverse = inverse_norms(x)
    own = np.diag(np.asarray(cosines(x, x, inverse, inverse)))
    assert own.min() < 1 < own.max(), "the trap is not there"
    return np.repeat(x, COPIES, axis=0)


def expected():
    """One of each pair in order, then the others in order."""
    return [*range(0, 2 * COPIED, 2), *range(1, 2 * COPIED, 2)]


@pytest.mark.parametrize("ranking", ["stable", "float32"])
@pytest.mark.parametrize("similarity", ["shifted", "cosine"])
def test_prune4rel_ties_go_to_the_lowest_index(ranking, similarity):
    got = selection.prune4rel(
        copied(),
        np.full(2 * COPIED, 0.9),
        2 * COPIED,
        threshold=0.95,
        ranking=ranking,
        similarity=similarity,
        candidates=16,
    )
    np.testing.assert_array_equal(got.indices, expected())
    # Every first is worth the same, and so is every second.
    for part in (got.gains[:COPIED], got.gains[COPIED:]):
        np.testing.assert_array_equal(part, part[0])
    assert got.objective == pytest.approx(2 * COPIED * np.tanh(1.8), rel=1e-6)


def test_coverage_ties_go_to_the_lowest_index():
    got = selection.prune4rel(
        copied(),
        np.full(2 * COPIED, 0.9),
        2 * COPIED,
        threshold=0.95,
        objective="coverage",
    )
    np.testing.assert_array_equal(got.indices, expected())
    for part in (got.gains[:COPIED], got.gains[COPIED:]):
        np.testing.assert_array_equal(part, part[0])


def test_one_row_fifteen_times_among_others(rng):
    """The copies come in order of index, wherever they stand."""
    x = rng.normal(size=(60, D))
    places = np.sort(rng.choice(60, COPIED, replace=False))
    x[places] = x[places[0]]
    for objective in ("own", "coverage"):
        got = selection.prune4rel(
            x, np.full(60, 0.9), 60, threshold=0.8, objective=objective, candidates=16
        )
        picked = got.indices[np.isin(got.indices, places)]
        np.testing.assert_array_equal(picked, places)


def test_k_center_ties_go_to_the_lowest_index():
    """Copies of picks are at distance 0, not at a square root of rounding."""
    x = copied() + 10
    got = selection.k_center(x, 2 * COPIED, candidates=16)
    assert set(got.indices[:COPIED]) == set(range(0, 2 * COPIED, 2))
    np.testing.assert_array_equal(got.indices[COPIED:], range(1, 2 * COPIED, 2))
    assert (got.gains[:COPIED] > 0.1).all()
    np.testing.assert_array_equal(got.gains[COPIED:], 0)
    assert got.objective == 0
    # Of examples given as picked, too.
    given = np.arange(1, 2 * COPIED, 2)
    got = selection.k_center(x, COPIED, initial=given, candidates=16)
    np.testing.assert_array_equal(got.indices, range(0, 2 * COPIED, 2))
    np.testing.assert_array_equal(got.gains, 0)


@pytest.mark.parametrize("keep_bytes", [0, 2**29])
@pytest.mark.parametrize("factors", [False, True])
def test_facility_location_ties_go_to_the_lowest_index(keep_bytes, factors):
    """Nothing is left to gain once one of each pair is there."""
    x = copied()
    pool = (x, np.repeat(copied(1)[::2], COPIES, axis=0)) if factors else x
    got = selection.facility_location_cg(
        pool, None, 2 * COPIED, keep_bytes=keep_bytes, candidates=8
    )
    firsts, seconds = got.indices[:COPIED], got.indices[COPIED:]
    assert set(firsts) == set(range(0, 2 * COPIED, 2))
    np.testing.assert_array_equal(seconds, range(1, 2 * COPIED, 2))
    np.testing.assert_array_equal(got.gains[COPIED:], 0)
    assert got.objective == pytest.approx(2 * COPIED, rel=1e-6)


@pytest.mark.parametrize("keep_bytes", [0, 2**29])
def test_facility_location_of_what_is_like_nothing_else(rng, keep_bytes):
    """Corners of a simplex, each twice: every first is worth 2, every second 0."""
    corners = np.eye(COPIED) - 1 / COPIED
    turned = corners @ np.linalg.qr(rng.normal(size=(COPIED, COPIED)))[0]
    x = np.repeat(turned.astype(np.float32), COPIES, axis=0)
    got = selection.facility_location_cg(
        x, None, 2 * COPIED, similarity="cosine", keep_bytes=keep_bytes, candidates=8
    )
    np.testing.assert_array_equal(got.indices, expected())
    np.testing.assert_array_equal(got.gains, [2] * COPIED + [0] * COPIED)


@pytest.mark.parametrize("seed", [5, 7, 28])
def test_log_det_takes_the_lower_copy_first(seed):
    """Products with a vector round by position: of 40 seeds these are some it broke."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(101, 7))
    places = np.sort(rng.choice(101, COPIED, replace=False))
    x[places] = x[places[0]]
    query = rng.normal(size=(3, 7))
    got = selection.log_det_cmi(x, query, None, 101)
    picked = got.indices[np.isin(got.indices, places)]
    np.testing.assert_array_equal(picked, places)


def test_first_equal_rows(rng):
    x = rng.normal(size=(50, 3)).astype(np.float32)
    x[[7, 20, 49]] = x[3]
    x[30], x[31] = [0.0, 1.0, 2.0], [-0.0, 1.0, 2.0]
    want = np.arange(50)
    want[[7, 20, 49]], want[31] = 3, 30
    got = first_equal_rows(x)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, want)
    # Equal in one factor is not equal; a block at a time is no matter.
    other = rng.normal(size=(50, 2)).astype(np.float32)
    other[20] = other[3]
    want = np.arange(50)
    want[20] = 3
    np.testing.assert_array_equal(first_equal_rows(x, other), want)
    signs = rng.choice([-1.0, 1.0], size=(3000, 8))
    same = (signs[:, None] == signs[None]).all(-1)
    np.testing.assert_array_equal(first_equal_rows(signs), same.argmax(1))


@pytest.mark.parametrize("width", [16, 40])
def test_rows_that_differ_in_one_number_are_not_equal(rng, width):
    # Most of the numbers are the same in many rows, as the borders of images are.
    x = np.zeros((400, width), np.float32)
    x[np.arange(400), rng.integers(width, size=400)] = rng.integers(3, size=400)
    same = (x[:, None] == x[None]).all(-1)
    other = rng.integers(2, size=(400, width)).astype(np.float32)
    other[200:] = other[:200]
    both = same & (other[:, None] == other[None]).all(-1)
    assert both.sum() > 400
    np.testing.assert_array_equal(first_equal_rows(x), same.argmax(1))
    np.testing.assert_array_equal(first_equal_rows(x, other), both.argmax(1))


def test_equal_hashes_are_compared_in_full(monkeypatch):
    from robustjax.selection import _equal_rows as equal_rows

    monkeypatch.setattr(
        equal_rows, "_hashes", lambda rows, which, _: np.zeros(len(which), np.uint64)
    )
    x = np.array([[1.0], [2.0], [1.0], [2.0]])
    # A collision costs at most that a copy is not seen as one.
    np.testing.assert_array_equal(first_equal_rows(x), [0, 1, 0, 3])
