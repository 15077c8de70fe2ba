"""One page from many folders: everything that is shown is escaped on its way."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import os
import pathlib
import re
import urllib.parse
from collections.abc import Sequence
from typing import Any

from experiments.reporting import grids
from experiments.reporting.examples import examples_behind
from experiments.reporting.pictures import Album, Example
from experiments.reporting.plots import Plot, plots
from experiments.reporting.runs import Run, read_runs
from robustjax import checks
from robustjax.files import write_atomically
from robustjax.output_paths import check_output_file, check_output_folder

FORMATS = ("html", "markdown")
_ENDINGS = {"html": ".html", "markdown": ".md"}
_TEMPLATES = pathlib.Path(__file__).parent / "templates"


@dataclasses.dataclass(frozen=True)
class Section:
    """What the page says of one run.

    Attributes:
      anchor: of the section.
      run: whose.
      results: its table.
      differences: to the baseline, or None.
      flags: tables of them.
      speeds: a table.
      plots: of the run.
      behind: (title, [(title, count, of, examples)]) of every method.
      no_pictures: why examples have none.
    """

    anchor: str
    run: Run
    results: grids.Grid
    differences: grids.Grid | None
    flags: Sequence[grids.Grid]
    speeds: grids.Grid
    plots: Sequence[Plot]
    behind: Sequence[tuple[str, Sequence[tuple[str, int, int, Sequence[Example]]]]]
    no_pictures: str


def write_report(
    folders: Sequence[str],
    output: str,
    *,
    formats: Sequence[str] = FORMATS,
    baseline: str | None = None,
    examples: int | str = 8,
) -> list[str]:
    """Writes the report of some folders.

    Args:
      folders: of runs.
      output: path of the files, without ending.
      formats: of `FORMATS`.
      baseline: the method that others are compared with; None for every run's first.
      examples: how many are shown of a group.

    Returns:
      A line on every folder that is unfinished, and one on what was written.

    Raises:
      ValueError: a bad argument, or a folder that cannot be believed; nothing is
        written then.
    """
    if not folders:
        raise ValueError("folder: got none, expected at least one run or sweep folder")
    if not formats:
        raise ValueError(f"format: got none, expected any of {', '.join(FORMATS)}")
    for name in formats:
        checks.one_of("format", name, FORMATS)
    if not re.fullmatch(r"\d{1,4}", str(examples)):
        raise ValueError(f"examples: got {examples}, expected an integer in 0 … 9999")
    paths = {name: f"{output}{_ENDINGS[name]}" for name in formats}
    for path in paths.values():
        check_output_file("output", path)
    files = pathlib.Path(f"{output}_files")
    if "markdown" in paths:
        check_output_folder("output", files)
    render = _renderers()
    runs = read_runs(folders)
    _check_baseline(runs, baseline)
    sections = [
        _section(f"run-{number}", run, baseline, int(examples))
        for number, run in enumerate(runs, 1)
    ]
    if "html" in paths:
        write_atomically(paths["html"], render["html"](sections=sections))
    if "markdown" in paths:
        _write_plots(files, sections)
        text = render["markdown"](sections=sections, files=files.name)
        write_atomically(paths["markdown"], text)
    return [
        *(
            f"{run.name} is unfinished: {run.finished_parts} of {run.parts} parts"
            for run in runs
            if not run.finished
        ),
        f"written: {', '.join(paths.values())}",
    ]


def _check_baseline(runs: Sequence[Run], baseline: str | None) -> None:
    known = {name for run in runs for name in run.table.column("method")}
    if baseline is not None and known:
        checks.one_of("baseline", baseline, sorted(known))


def _section(anchor: str, run: Run, baseline: str | None, most: int) -> Section:
    found = examples_behind(run.table, most)
    album = Album(run) if found else None
    return Section(
        anchor,
        run,
        grids.results(run),
        grids.differences(run, baseline),
        grids.flags(run),
        grids.speeds(run),
        plots(run.table),
        [
            (
                each.title,
                [(g.title, g.count, g.of, album.examples(g)) for g in each.groups],
            )
            for each in found
            if album is not None
        ],
        album.reason if album is not None else "",
    )


def _write_plots(folder: pathlib.Path, sections: Sequence[Section]) -> None:
    for section in sections:
        for number, plot in enumerate(section.plots, 1):
            folder.mkdir(exist_ok=True)
            write_atomically(folder / f"{section.anchor}-{number}.svg", plot.svg)


def _renderers() -> dict[str, Any]:
    """A function per format, from the names in its template to its text."""
    try:
        import jinja2
    except ImportError:
        raise ImportError(
            "reports need Jinja2: pip install 'robustjax[report]'"
        ) from None
    environment = functools.partial(
        jinja2.Environment,
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment(autoescape=True)
    html.globals["script"] = (_TEMPLATES / "sort.js").read_text()
    html.globals["style"] = (_TEMPLATES / "style.css").read_text()
    html.filters["digest"] = _digest
    html.filters["as_url"] = _as_url
    markdown = environment(autoescape=False, finalize=_in_markdown)
    markdown.filters["code"] = _Code
    markdown.filters["path"] = lambda text: _Path(urllib.parse.quote(text))
    return {
        "html": html.get_template("report.html").render,
        "markdown": markdown.get_template("report.md").render,
    }


def _digest(text: str) -> str:
    """For the page's own policy: what it may run, and nothing else."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _as_url(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


class _Code(str):
    """Text that Markdown shows as code."""


class _Path(str):
    """A link's target, quoted already."""


def _in_markdown(value: Any) -> str:
    """Text with which Markdown, HTML and tables do nothing."""
    text = " ".join(str(value).split())
    if isinstance(value, _Code):
        fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
        return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"
    if isinstance(value, _Path):
        return value
    text = re.sub(r"([\\`*_{}\[\]|~$])", r"\\\1", text)
    # What begins a list or a heading, and what would become a link.
    text = re.sub(r"^(\d*)([-#+=.)])(?=[#=-]*\s)", r"\1\\\2", text)
    text = text.replace("://", "\\://")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
