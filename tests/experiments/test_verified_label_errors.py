"""The table of verified label errors, on the real probabilities."""

import json

import numpy as np
import pytest

from experiments import verified_label_errors


def test_an_error_is_verified_by_fewer_than_three_votes_for_the_label(tmp_path):
    votes = [0, 3, 2, 5]
    records = [{"id": 10 + i, "mturk": {"given": v}} for i, v in enumerate(votes)]
    (tmp_path / "a.json").write_text(json.dumps(records))
    found = verified_label_errors.verified_errors(tmp_path / "a.json")
    assert found.tolist() == [10, 12]


@pytest.mark.data
def test_published_errors_are_found(data_dir):
    folder = data_dir / "label_errors"
    errors = verified_label_errors.verified_errors(folder / "cifar10_mturk.json")
    assert len(errors) == 54
    found = verified_label_errors.count_found(
        np.load(folder / "cifar10_test_set_original_labels.npy").astype(int),
        np.load(folder / "cifar10_test_set_pyx.npy"),
        errors,
        100,
    )
    named = {rule: (count, verified) for rule, count, verified in found}
    # cleanlab 2.9's flags: 284, of which 49 are verified.
    assert named["prune_by_noise_rate"] == (284, 49)
    assert named["lowest self_confidence"] == (100, 24)
