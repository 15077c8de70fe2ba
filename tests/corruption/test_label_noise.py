"""Noise models: measured against declared rates, counts, matrices and errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import corruption
from robustjax.corruption import transitions

N, C = 20_000, 10
KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def labels():
    return jnp.asarray(np.random.default_rng(0).integers(0, C, N))


def wrong(noisy, labels):
    return float(jnp.mean(noisy.labels != labels))


def tolerance(rate):
    """Three standard deviations of a share of N independent draws."""
    return 3 * np.sqrt(max(rate * (1 - rate), 1e-4) / N)


MODELS = {
    "symmetric": functools.partial(
        corruption.symmetric, rate=0.6, num_classes=C, include_true=False
    ),
    "symmetric, true class drawn": functools.partial(
        corruption.symmetric, rate=0.6, num_classes=C, include_true=True
    ),
    "symmetric, per class": functools.partial(
        corruption.symmetric,
        rate=0.6,
        num_classes=C,
        include_true=False,
        count="exact_per_class",
    ),
    "class_flip": functools.partial(corruption.class_flip, rate=0.8, num_classes=C),
    "class_flip, all": functools.partial(
        corruption.class_flip, rate=0.8, num_classes=C, scope="all"
    ),
    "asymmetric": functools.partial(
        corruption.asymmetric,
        rate=0.4,
        targets=transitions.class_map(C, transitions.CIFAR10_MAP),
    ),
    "pairs": functools.partial(
        corruption.asymmetric,
        rate=0.4,
        targets=transitions.class_map(C, transitions.CIFAR10_PAIRS),
        count="exact",
    ),
    "pairflip": functools.partial(corruption.pairflip, rate=0.45, num_classes=C),
    "from_transition": functools.partial(
        corruption.from_transition,
        transition=transitions.sibling_transition(np.arange(C) // 5, 0.4),
    ),
}


def moved(rate, targets):
    """Every class keeps 1 - rate and sends the rest to one class, if to another."""
    matrix = (1 - rate) * np.eye(C)
    for true, given in enumerate(targets):
        matrix[true, given] += rate
    return matrix


EVEN = 0.4 * np.eye(C) + 0.6 * (1 - np.eye(C)) / 9
# From the definitions. CIFAR-10's classes: 0 airplane, 1 automobile, 2 bird, 3 cat,
# 4 deer, 5 dog, 6 frog, 7 horse, 8 ship, 9 truck.
MATRICES = {
    "symmetric": EVEN,
    "symmetric, true class drawn": 0.4 * np.eye(C) + 0.06,
    "symmetric, per class": EVEN,
    "asymmetric": moved(0.4, [0, 1, 0, 5, 7, 3, 6, 7, 8, 1]),
    "pairs": moved(0.4, [2, 9, 0, 5, 7, 3, 8, 4, 6, 1]),
    "pairflip": moved(0.45, [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]),
    "from_transition": 0.6 * np.eye(C)
    + 0.1 * (np.kron(np.eye(2), np.ones((5, 5))) - np.eye(C)),
}


@pytest.mark.parametrize("name", MODELS)
def test_measured_noise_matches_the_declared_matrix(name, labels):
    noisy = MODELS[name](KEY, labels)
    measured = np.zeros((C, C))
    np.add.at(measured, (np.asarray(labels), np.asarray(noisy.labels)), 1)
    frequencies = measured.sum(axis=1)
    measured /= frequencies[:, None]
    declared = np.asarray(noisy.transition)
    if name in MATRICES:
        np.testing.assert_allclose(declared, MATRICES[name], atol=1e-6)
    else:
        # Drawn; a fifth of every class is not redrawn, unless all labels are.
        assert (np.diag(declared) >= 0.2).all() == (name == "class_flip")
        np.testing.assert_allclose(declared.sum(axis=1), 1, rtol=1e-5)
    # A cell is a share of about N/C draws.
    assert np.abs(measured - declared).max() < 5 * np.sqrt(0.25 / (N / C))
    want = float((1 - np.diag(declared)) @ frequencies / N)
    np.testing.assert_allclose(
        transitions.noise_rate(noisy.transition, frequencies), want, rtol=1e-5
    )
    assert abs(wrong(noisy, labels) - want) < tolerance(want)
    np.testing.assert_allclose(
        transitions.empirical_transition(
            np.asarray(labels), np.asarray(noisy.labels), C
        ),
        measured,
        rtol=1e-5,
    )
    assert noisy.labels.dtype == jnp.int32


@pytest.mark.parametrize("name", MODELS)
def test_pure_and_vmappable(name, labels):
    model = functools.partial(MODELS[name], labels=labels[:500])
    keys = jax.random.split(KEY, 3)
    many = jax.jit(jax.vmap(model))(keys)
    for i in range(3):
        np.testing.assert_array_equal(many.labels[i], model(keys[i]).labels)
    assert (many.labels[0] != many.labels[1]).any()


@pytest.mark.parametrize("include_true", [True, False])
def test_what_rate_means_for_symmetric_noise(include_true, labels):
    noisy = corruption.symmetric(KEY, labels, 0.8, C, include_true=include_true)
    assert int(noisy.chosen.sum()) == 0.8 * N
    if include_true:
        assert abs(wrong(noisy, labels) - 0.72) < tolerance(0.72)
    else:
        np.testing.assert_array_equal(noisy.labels != labels, noisy.chosen)


def test_counts(labels):
    make = functools.partial(
        corruption.symmetric, KEY, labels, 0.25, C, include_true=False
    )
    assert int(make(count="exact").chosen.sum()) == round(0.25 * N)
    per_class = make(count="exact_per_class").chosen
    for c in range(C):
        mine = np.asarray(labels) == c
        assert int(np.asarray(per_class)[mine].sum()) == round(0.25 * mine.sum())
    share = float(make(count="bernoulli").chosen.mean())
    assert 0 < abs(share - 0.25) < tolerance(0.25)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_extreme_rates(rate, labels):
    noisy = corruption.symmetric(KEY, labels, rate, C, include_true=False)
    assert wrong(noisy, labels) == rate


def test_class_flip_draws_its_matrix_per_key(labels):
    first, second = (
        corruption.class_flip(k, labels, 0.8, C).transition
        for k in jax.random.split(KEY)
    )
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_allclose(first.sum(1), 1, rtol=1e-5)
    assert np.abs(first - first.T).max() > 0.01


def test_compounding_bug_is_replicated_only_on_request(labels):
    targets = transitions.class_map(C, transitions.CIFAR10_MAP)
    make = functools.partial(
        corruption.asymmetric, KEY, labels, 0.4, targets, count="exact_per_class"
    )

    def rate_of(noisy, c):
        mine = np.asarray(labels) == c
        return float((np.asarray(noisy.labels) != np.asarray(labels))[mine].mean())

    right, bug = make(), make(compounding=True)
    assert abs(rate_of(right, 3) - 0.4) < 0.001
    assert abs(rate_of(right, 5) - 0.4) < 0.001
    # Cats moved to dog are candidates for dog -> cat: 0.4 * (1 - 0.4) stay wrong.
    assert abs(rate_of(bug, 3) - 0.24) < 0.03
    assert abs(rate_of(bug, 5) - 0.4) < 0.03


def test_instance_dependent_noise(rng):
    labels = jnp.asarray(rng.integers(0, 4, 5000))
    inputs = jnp.asarray(rng.normal(size=(5000, 6)), jnp.float32)
    make = functools.partial(corruption.instance_dependent, KEY, inputs, labels, 0.3, 4)
    noisy = make()
    assert abs(float((noisy.labels != labels).mean()) - 0.3) < 0.03
    np.testing.assert_array_equal(noisy.chosen, noisy.labels != labels)
    assert (make().labels == noisy.labels).all()
    other = corruption.instance_dependent(jax.random.key(4), inputs, labels, 0.3, 4)
    assert (other.labels != noisy.labels).mean() > 0.2


def test_large_pixels_make_the_wrong_class_a_function_of_the_input(rng):
    """Copies of an input tell: all flip alike, or to any wrong class without pixels."""
    count, copies = 40, 60
    inputs = jnp.asarray(rng.normal(size=(count, 6)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 4, count))

    def classes_of(scale, labels=labels):
        """(count, 4): how often the copies of an input were given a class."""
        noisy = corruption.instance_dependent(
            KEY,
            jnp.repeat(inputs, copies, axis=0),
            jnp.repeat(labels, copies),
            1.0,
            4,
            pixel_scale=scale,
            rate_deviation=0.0,
        )
        drawn = np.asarray(noisy.labels).reshape(count, copies)
        return np.stack([(drawn == c).sum(axis=1) for c in range(4)], axis=1)

    large, none = classes_of(1e4), classes_of(0.0)
    for counts in (large, none):
        assert not counts[np.arange(count), labels].any()
    np.testing.assert_array_equal(large.max(axis=1), copies)
    # A third each, up to five deviations of 60 draws.
    wrong = np.sort(none, axis=1)[:, 1:]
    assert np.abs(wrong - copies / 3).max() < 5 * (copies * 2 / 9) ** 0.5
    # The map is another one per true class: of inputs that classes 0 and 1 both send
    # to 2 or 3, they send many to different ones.
    first, second = (classes_of(1e4, jnp.full(count, c)).argmax(axis=1) for c in (0, 1))
    both = (first > 1) & (second > 1)
    assert both.sum() > 8
    assert 0.2 < (first != second)[both].mean() < 0.8


def test_maps():
    np.testing.assert_array_equal(transitions.next_in_block(6, 3), [1, 2, 0, 4, 5, 3])
    pairs = np.asarray(transitions.random_pair_in_block(KEY, 100, 5))
    assert (pairs != np.arange(100)).sum() == 40
    np.testing.assert_array_equal(pairs[pairs], np.arange(100))
    np.testing.assert_array_equal(pairs // 5, np.arange(100) // 5)
    t = transitions.sibling_transition(np.array([0, 0, 1, 1, 1]), 0.4)
    np.testing.assert_allclose(t[2], [0, 0, 0.6, 0.2, 0.2], rtol=1e-6)
    for map_, rate in (
        (transitions.CIFAR10_MAP, 0.2),
        (transitions.CIFAR10_PAIRS, 0.4),
    ):
        t = transitions.map_transition(transitions.class_map(10, map_), 0.4)
        np.testing.assert_allclose(transitions.noise_rate(t), rate, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda y: corruption.symmetric(KEY, y, 1.5, C, include_true=True),
            r"rate: got 1.5, expected .*\[0, 1\]",
        ),
        (
            lambda y: corruption.symmetric(KEY, y, 0.5, 3, include_true=True),
            "labels: .* out of range",
        ),
        (
            lambda y: corruption.symmetric(
                KEY, y, 0.5, C, include_true=True, count="some"
            ),
            "count: unknown 'some'",
        ),
        (
            lambda y: corruption.class_flip(KEY, y, 0.5, C, scope="x"),
            "scope: unknown 'x'",
        ),
        (
            lambda y: corruption.from_transition(KEY, y, jnp.ones((C, C))),
            "transition: rows sum to 10",
        ),
        (
            lambda y: corruption.asymmetric(
                KEY, y, 0.5, np.arange(C), compounding=True
            ),
            "count: got 'bernoulli', expected 'exact_per_class'",
        ),
        (lambda y: transitions.next_in_block(10, 3), "block: got 3"),
        (lambda y: transitions.class_map(3, {0: 5}), "mapping: got 5"),
        (
            lambda y: transitions.sibling_transition(np.array([0, 0, 1]), 0.1),
            "superclass: class 2 is alone",
        ),
    ],
)
def test_bad_arguments(call, message, labels):
    with pytest.raises(ValueError, match=message):
        call(labels)
