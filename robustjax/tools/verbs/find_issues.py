"""Lists what is likely wrong with a data set: the verb `find-issues`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from robustjax import checks, data, scores
from robustjax.files import atomic_file
from robustjax.methods.label_correction import cross_validated_probabilities
from robustjax.output_paths import check_output_file
from robustjax.tools.array_files import (
    in_order_of,
    probabilities_in,
    read_arrays,
    said_of_rows,
)
from robustjax.tools.classifier_settings import classifier_settings
from robustjax.tools.command.fields import (
    need_options,
    refuse_fields,
    refuse_options,
)
from robustjax.tools.command.output import say
from robustjax.tools.data_report import (
    Found,
    check_report,
    report_on,
    summary,
    wanted_issues,
)
from robustjax.tools.inputs import load_labeled, load_partly_labeled
from robustjax.tools.options.find_issues import FindIssuesConfig
from robustjax.tools.options.groups import MlpFlags, TrainingFlags
from robustjax.tools.pages import check_page, page_beside, write_issues
from robustjax.tools.row_files import check_format, write_rows
from robustjax.training import LateBar, StopRequest

# Ids of examples without a label that are printed.
_SHOWN = 3


def _check(config: FindIssuesConfig) -> None:
    """Raises `ValueError` for a bad option, before anything is loaded or trained."""
    need_options(config, "dataset", "out")
    inputs = {name: getattr(config, name) for name in ("dataset", "labels")}
    assert config.out is not None
    check_output_file(
        "out", config.out, inputs={**inputs, "probabilities": config.probabilities}
    )
    if config.save_probabilities is not None:
        check_output_file(
            "save_probabilities",
            config.save_probabilities,
            inputs={**inputs, "out": config.out},
        )
    check_page(config)
    check_report(config)
    judged = "labels" in wanted_issues(config)
    for name in ("probabilities", "save_probabilities"):
        if not judged and getattr(config, name) is not None:
            raise ValueError(f"{name}: judges labels, which --issues leaves out")
    if config.page and judged:
        check_output_file(
            "out", page_beside(config.out), inputs={**inputs, "out": config.out}
        )
    if config.probabilities is not None:
        why = "with --probabilities, of networks that were trained already"
        refuse_options(config, (TrainingFlags, MlpFlags), why)
        # Distances are measured between standardised inputs, too.
        of_labels = wanted_issues(config) == ("labels",)
        unused = ["folds", *(["standardize"] if of_labels else [])]
        refuse_fields(config, dict.fromkeys(unused, why))
    if config.save_probabilities is not None and config.probabilities is not None:
        raise ValueError(
            "save_probabilities: there is nothing to save with --probabilities"
        )
    # What the options do to two examples they do to many: the rest of the checks.
    _judge(config, np.arange(2), np.eye(2))


def _judge(
    config: FindIssuesConfig, labels: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) scores and (N,) whether each label is an issue."""
    with checks.errors_name(adjust_pred_probs="adjust_probabilities"):
        quality = scores.label_quality_scores(
            labels,
            probabilities,
            method=config.method,  # type: ignore[arg-type]
            adjust_pred_probs=config.adjust_probabilities,
        )
    issues = scores.find_label_issues(
        labels,
        probabilities,
        filter_by=config.filter_by,  # type: ignore[arg-type]
        frac_noise=config.frac_noise,
        min_examples_per_class=config.min_examples_per_class,
    )
    return quality, issues


def read_probabilities(path: str, dataset: data.Dataset) -> np.ndarray:
    """Reads probabilities of all examples, in the data set's order.

    Args:
      path: an .npy file (N, C), or an .npz file with `pred_probs` (or
        `probabilities`) and maybe `ids`, and `class_names` of the columns.
      dataset: whose examples and classes are meant.

    Raises:
      ValueError: a file that cannot be read or does not fit the data set.
    """
    arrays = read_arrays(path, "probabilities")
    found = probabilities_in(path, arrays)
    expected = (len(dataset), dataset.num_classes)
    if found.shape != expected:
        raise ValueError(
            f"probabilities: got shape {found.shape}, expected {expected}: a row for "
            f"every example and a column for every class of {dataset.name}"
        )
    rows = said_of_rows(found, arrays, by_class=True)
    found = in_order_of(dataset, rows, path=path, name="probabilities")
    return scores.check_probabilities(found, name="probabilities")


def _train(
    config: FindIssuesConfig, dataset: data.Dataset, stop: StopRequest
) -> np.ndarray:
    """Cross-validated probabilities."""
    if config.standardize:
        (dataset,) = data.standardize(dataset)
    # The smallest training set there is: the largest fold is held out.
    smallest = len(dataset) - -(-len(dataset) // max(config.folds, 1))
    with LateBar("cross-validation", unit="epoch") as bar:
        return cross_validated_probabilities(
            dataset,
            key=jax.random.key(config.seed),
            folds=config.folds,
            settings=classifier_settings(config, config, max(1, smallest)),
            on_epoch=lambda kind, epoch, metrics: bar.advance(config.epochs),
            stop=stop,
        )


class _Judged(NamedTuple):
    """(N,) of every label: its score, whether it is an issue, and a better one."""

    quality: np.ndarray
    issues: np.ndarray
    suggested: np.ndarray


def _judge_labels(
    config: FindIssuesConfig, dataset: data.Dataset, stop: StopRequest
) -> _Judged:
    if config.probabilities is not None:
        probabilities = read_probabilities(config.probabilities, dataset)
    else:
        probabilities = _train(config, dataset, stop)
    if config.save_probabilities is not None:
        # An open file: given a name, NumPy may add to it.
        with atomic_file(config.save_probabilities) as file:
            np.savez(
                file,
                pred_probs=probabilities,
                ids=dataset.ids,
                class_names=np.array(dataset.class_names),
            )
    quality, issues = _judge(config, dataset.labels, probabilities)
    return _Judged(quality, issues, probabilities.argmax(axis=1))


def _columns(dataset: data.Dataset, judged: _Judged | None) -> dict[str, Any]:
    """Of the table, name -> (N,) values: what is said of labels."""
    names = np.array(dataset.class_names, dtype=object)
    columns = {"id": dataset.ids, "given_label": names[dataset.labels]}
    if judged is None:
        return columns
    return columns | {
        "suggested_label": names[judged.suggested],
        "score": judged.quality.astype(np.float64),
        "is_issue": judged.issues.astype(bool),
    }


def _order(judged: _Judged | None, found: Sequence[Found], count: int) -> np.ndarray:
    """The least trusted label first, or else what has most issues."""
    if judged is not None:
        return np.argsort(judged.quality, kind="stable")
    many = np.sum([each.flagged for each in found] or [np.zeros(count)], axis=0)
    return np.argsort(-many, kind="stable")


def _load(
    config: FindIssuesConfig, wanted: Sequence[str]
) -> tuple[data.Dataset, np.ndarray | None]:
    """The labelled examples, and the ids of the others if they are asked for."""
    if "unlabeled" in wanted:
        return load_partly_labeled(config, say)
    return load_labeled(config, say), None


def _rows(
    columns: dict[str, Any], order: np.ndarray, unlabeled: np.ndarray | None
) -> Iterator[dict[str, Any]]:
    """Of the table, what has no label last."""
    more = {} if unlabeled is None else {"is_unlabeled": False}
    for row in order.tolist():
        yield {name: _plain(values[row]) for name, values in columns.items()} | more
    for name in () if unlabeled is None else unlabeled.tolist():
        yield dict.fromkeys(columns) | {"id": name, "is_unlabeled": True}


def main(config: FindIssuesConfig, stop: StopRequest) -> None:
    """Judges what was asked for and writes the table."""
    _check(config)
    assert config.out is not None
    form = check_format(config.out, config.format)
    wanted = wanted_issues(config)
    dataset, unlabeled = _load(config, wanted)
    found: list[Found] = []
    if wanted != ("labels",):
        # Before a training that may take hours.
        shown = data.standardize(dataset)[0] if config.standardize else dataset
        found = report_on(config, shown, jax.random.key(config.seed), say)
    judged = None
    if "labels" in wanted:
        judged = _judge_labels(config, dataset, stop)
    columns = _columns(dataset, judged)
    for each in found:
        columns |= each.columns
    write_rows(
        config.out,
        _rows(columns, _order(judged, found, len(dataset)), unlabeled),
        form,
    )
    if judged is not None:
        issues = judged.issues
        share = f"{issues.sum():,} ({issues.mean():.1%})"
        say(
            f"{share} of {len(dataset):,} labels are likely wrong; {config.out} lists "
            "all, the least trusted first"
        )
    if found:
        if judged is not None:
            wrong = Found("labels", judged.issues, -judged.quality, {})
            found = [wrong, *found]
        say(f"{summary(dataset, found)}\n{config.out} lists all {len(dataset):,}")
    if unlabeled is not None:
        say(_unlabeled_words(unlabeled, len(dataset)))
    if config.page and judged is not None:
        write_issues(config, dataset, *judged)


def _unlabeled_words(ids: np.ndarray, labeled: int) -> str:
    if not ids.size:
        return "every example has a label"
    first = ", ".join(str(each) for each in ids[:_SHOWN].tolist())
    return (
        f"{len(ids):,} ({len(ids) / (len(ids) + labeled):.1%}) without a label, at the "
        f"end of the table and left out of all else: {first}"
        + (", …" if len(ids) > _SHOWN else "")
    )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
