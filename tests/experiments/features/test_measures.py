"""Measures of the study of features against the library's own."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.features.observation import Observer
from experiments.studies.features.options import published
from experiments.studies.features.programs import make_loss
from experiments.studies.features.runner import make_measure
from robustjax import losses, scores
from tests.experiments.features.feature_runs import applied, composed, images, study_of


@pytest.mark.slow
def test_measures_of_classification(sets):
    study, network, params, state = study_of(sets, detection_ood=("textures",))
    found = make_measure(study, network)(params, state)
    test, ood = study.target.test, study.ood.test
    logits = applied(network, params, test.inputs, "__call__")
    features = applied(network, params, test.inputs, "features")
    outside = applied(network, params, ood, "features")
    right = np.argmax(logits, axis=1) == test.labels
    assert found["test_accuracy"] == right.mean()
    np.testing.assert_allclose(
        [found["test_norm"], found["heldout_ood_norm"]],
        [scores.mean_activation_norm(features), scores.mean_activation_norm(outside)],
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        found["heldout_ood_square"], np.mean(np.sum(outside**2, axis=1)), rtol=1e-5
    )
    unit = np.array(features) / np.linalg.norm(features, axis=1, keepdims=True)
    differ = test.labels[:, None] != test.labels[None]
    np.testing.assert_allclose(
        found["class_cosine"], (unit @ unit.T)[differ].mean(), rtol=1e-5
    )
    chances = jax.nn.softmax(applied(network, params, ood, "__call__"))
    np.testing.assert_allclose(
        [found["ood_correlation"], found["test_correlation"]],
        [
            scores.feature_correlations(outside, chances).mean(),
            scores.feature_correlations(
                features, np.eye(test.num_classes)[test.labels]
            ).mean(),
        ],
        rtol=1e-4,
    )
    unknown = applied(network, params, study.ood.detection, "__call__")
    want = scores.ood_detection_metrics(
        scores.energy_uncertainty(logits), scores.energy_uncertainty(unknown)
    )
    assert found["energy_auroc"] == pytest.approx(want.auroc, abs=1e-4)


@pytest.mark.slow
def test_measures_of_boxes_and_localization(sets):
    given = composed(sets, "boxes")
    study, network, params, state = study_of(sets, **given)
    found = make_measure(study, network)(params, state)
    boxes = applied(network, params, study.target.test.inputs, "__call__")
    overlap = losses.box_iou(boxes, jnp.asarray(study.target.test_boxes))
    assert found["test_iou"] == pytest.approx(float(overlap.mean()), rel=1e-5)

    for kind in ("class", "agnostic"):
        given = composed(sets, "localization", activation_map=kind)
        study, network, params, state = study_of(sets, **given)
        found = make_measure(study, network)(params, state)
        test = study.target.test
        feature_map = applied(network, params, test.inputs, "feature_map")
        maps = scores.activation_map(feature_map)
        if kind == "class":
            kernel = params["head"]["kernel"]
            maps = scores.class_activation_map(feature_map, kernel, test.labels)
        maps = scores.normalize_map(scores.resize_map(maps, 12))
        boxes = jnp.asarray(study.target.test_boxes)
        want = scores.max_box_accuracy(maps, boxes)
        assert found["max_box_accuracy"] == want.best
        assert found["fixed_box_accuracy"] == want.fixed


def test_an_observer_goes_over_chunks(monkeypatch, sets):
    _, network, params, state = study_of(sets)
    pixels = images(13, 3, 8, 3, seed=2)[0]
    labels = np.arange(13)

    def look(params, found, labels):
        return {"outputs": found["outputs"], "labels": labels}

    whole = Observer(network.model, network.preprocess, look)
    expected = whole(params, state, pixels, labels)
    monkeypatch.setattr("experiments.studies.features.observation.CHUNK", 5)
    chunked = Observer(network.model, network.preprocess, look)
    found = chunked(params, state, pixels, labels)
    np.testing.assert_array_equal(found["labels"], labels)
    np.testing.assert_allclose(found["outputs"], expected["outputs"], rtol=1e-4)


@pytest.mark.slow
def test_taufe_and_oat_settings(sets):
    config = FeatureDebiasingConfig(
        options=(
            *published("taufe", "boxes"),
            "taufe.weight=0.5",
            "taufe.reduction=sum",
            "oat.weight=2",
        )
    )
    extra = {
        "logits": jnp.zeros((1, 2)),
        "ood_feature_map": jnp.ones((1, 2, 2, 3)),
        "ood_logits": jnp.zeros((1, 2)),
    }
    from robustjax import transforms

    batch = {
        "label": jnp.zeros(1, jnp.int32),
        "mask": jnp.ones(1, bool),
        "index": jnp.zeros(1, jnp.int32),
    }
    for method, want in (("taufe", 0.5 * 12), ("oat", 2 * np.log(2)), ("standard", 0)):
        loss = make_loss(method, config)
        state = loss.init(transforms.ExampleSpec(1, 2))
        terms, _ = loss.update(transforms.start(batch), state, batch, **extra)
        value = transforms.reduce(terms) - np.log(2)
        np.testing.assert_allclose(value, want, rtol=1e-5, atol=1e-6)
