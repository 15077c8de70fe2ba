"""Pages beside the tables of verbs: what people look at, and where they answer."""

from __future__ import annotations

import datetime
import pathlib

import numpy as np

from robustjax import data, pages
from robustjax.data._label_files import need_columns
from robustjax.methods._exchange import Exchange
from robustjax.methods._exchange_folder import ASKED, Pending
from robustjax.output_paths import check_output_file, check_output_folder
from robustjax.tools.command.output import say
from robustjax.tools.inputs import text_column_of
from robustjax.tools.options.correct import CorrectConfig
from robustjax.tools.options.find_issues import FindIssuesConfig, looks_for
from robustjax.tools.options.label import LabelConfig

_Shown = CorrectConfig | FindIssuesConfig | LabelConfig

# More than that nobody looks at, and browsers grow slow.
_MOST_CARDS = 5_000


def now() -> str:
    """The wall clock, for logs."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def page_beside(table: str) -> str:
    """The page's path: the table's with another ending.

    Raises:
      ValueError: a table that is called like a page.
    """
    path = pathlib.Path(table).with_suffix(".html")
    if str(path) == str(pathlib.Path(table)):
        raise ValueError(f"out: got {table!r}, expected another ending, such as .csv")
    return str(path)


def check_page(config: _Shown) -> None:
    """Raises `ValueError` for what a page cannot be made of, before anything loads."""
    if config.pictures is not None and not pathlib.Path(config.pictures).is_dir():
        raise ValueError(f"pictures: {config.pictures!r} is not a folder")
    if config.texts is not None and text_column_of(config) is None:
        rows = data.read_csv(config.texts, name="texts")
        need_columns(rows, ("id", "text"), path=config.texts, name="texts")


def media_of(config: _Shown, dataset: data.Dataset) -> pages.Media:
    """What there is to see of the rows of a data set.

    Raises:
      ValueError: texts of unknown or repeated ids.
    """
    texts = None
    if (column := text_column_of(config)) is not None:
        labeled_by = None
        if isinstance(config, FindIssuesConfig) and looks_for(config, "unlabeled"):
            labeled_by = config.label_column or "label"
        texts = data.read_texts(
            config.dataset, column, config.split, labeled_by=labeled_by
        )
    elif config.texts is not None:
        cells = data.read_csv(config.texts, name="texts")
        texts = [""] * len(dataset)
        ids = np.array([row["id"] for row in cells], dtype=str)
        for row, cell in zip(data.rows_of(dataset, ids, name="texts"), cells):
            texts[row] = cell["text"]
    return pages.dataset_media(dataset, texts=texts, folder=config.pictures)


def write_questions(
    config: CorrectConfig | LabelConfig,
    exchange: Exchange,
    dataset: data.Dataset,
    pending: Pending | None,
    labels: np.ndarray,
) -> None:
    """Writes the page of the round that waits, and says what to do.

    A page of an earlier round is removed where there is no new one.

    Args:
      config: of the verb.
      exchange: that waits.
      dataset: with inputs as they are, and the classes that may be answered.
      pending: what is waited for, or None when everything was answered.
      labels: (N,) by now.
    """
    page = pathlib.Path(exchange.folder, ASKED).with_suffix(".html")
    if not config.page or pending is None:
        pages.remove_page(page)
    if pending is None:
        return
    if config.page:
        asked = exchange.waiting
        assert asked is not None
        check_output_file("folder", page)
        check_output_folder("folder", page.with_name(f"{page.stem}_files"))
        batch = pages.questions_batch(
            asked,
            dataset,
            labels,
            media_of(config, dataset),
            title=f"{exchange.folder.name}: round {pending.round_number}",
            neighbors=config.neighbors,
        )
        pages.write_page(page, batch)
    where = f"answer on the page {page}, or fill" if config.page else "fill"
    say(
        f"round {pending.round_number}: {where} the column new_label of "
        f"{pending.asked} ({pending.questions} questions); put the answers into "
        f"{pending.answers}, and run the same command again"
    )


def write_issues(
    config: FindIssuesConfig,
    dataset: data.Dataset,
    quality: np.ndarray,
    issues: np.ndarray,
    suggested: np.ndarray,
) -> None:
    """Writes the page of labels that are likely wrong.

    Args:
      config: of the verb.
      dataset: with inputs as they are.
      quality: (N,) scores, low where a label is suspicious.
      issues: (N,) bool, which labels are listed.
      suggested: (N,) labels.
    """
    assert config.out is not None
    order = np.argsort(quality, kind="stable")
    suspects = order[issues[order]]
    listed = suspects[:_MOST_CARDS]
    first = "" if len(listed) == len(suspects) else f"the first {len(listed):,} of "
    rest = np.setdiff1d(order, listed)
    rng = np.random.default_rng(config.seed)
    drawn = rng.choice(rest, min(config.audit, len(rest)), replace=False)
    batch = pages.issues_batch(
        dataset,
        listed,
        suggested,
        quality,
        media_of(config, dataset),
        title=f"{pathlib.Path(config.out).stem}: {first}{len(suspects):,} labels that "
        "are likely wrong",
        drawn=drawn,
        neighbors=config.neighbors,
    )
    page = page_beside(config.out)
    pages.write_page(page, batch)
    say(
        f"look at them on the page {page}; what it saves is for robustjax correct "
        "--amend=labeled.csv"
    )
