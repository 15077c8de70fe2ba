"""One page from many folders: everything that is shown is escaped on its way."""

from __future__ import annotations

import base64
import functools
import hashlib
import pathlib
import re
import urllib.parse
from collections.abc import Sequence
from typing import Any

from experiments.reporting.runs import Run
from experiments.reporting.sections import read_folders, sections_of
from experiments.reporting.sweeps import Sweep
from robustjax import checks
from robustjax.files import write_atomically
from robustjax.output_paths import check_output_file, check_output_folder

FORMATS = ("html", "markdown")
_ENDINGS = {"html": ".html", "markdown": ".md"}
_TEMPLATES = pathlib.Path(__file__).parent / "templates"


def write_report(
    folders: Sequence[str],
    output: str,
    *,
    formats: Sequence[str] = FORMATS,
    baseline: str | None = None,
    examples: int = 8,
    points: int = 8,
) -> list[str]:
    """Writes the report of some folders.

    Args:
      folders: of runs and sweeps.
      output: path of the files, without ending.
      formats: of `FORMATS`.
      baseline: the method that others are compared with; None for every run's first.
      examples: how many are shown of a group.
      points: how many of a sweep have sections of their own.

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
    paths = {name: f"{output}{_ENDINGS[name]}" for name in formats}
    for path in paths.values():
        check_output_file("output", path)
    files = pathlib.Path(f"{output}_files")
    if "markdown" in paths:
        check_output_folder("output", files)
    render = _renderers()
    found = read_folders(folders)
    _check_baseline(found, baseline)
    sections = list(
        sections_of(found, baseline=baseline, examples=examples, points=points)
    )
    if "html" in paths:
        write_atomically(paths["html"], render["html"](sections=sections))
    if "markdown" in paths:
        for number, section in enumerate(sections, 1):
            for place, plot in enumerate(section.plots, 1):
                files.mkdir(exist_ok=True)
                write_atomically(files / f"{number}-{place}.svg", plot.svg)
        text = render["markdown"](sections=sections, files=files.name)
        write_atomically(paths["markdown"], text)
    unfinished = (s for s in sections if s.unfinished)
    return [
        *(f"{s.name} is unfinished: {s.unfinished}" for s in unfinished),
        f"written: {', '.join(paths.values())}",
    ]


def _check_baseline(found: Sequence[Run | Sweep], baseline: str | None) -> None:
    runs = [each for each in found if isinstance(each, Run)]
    sweeps = [each for each in found if isinstance(each, Sweep)]
    runs += [p.run for sweep in sweeps for p in sweep.points if p.run is not None]
    known = {name for run in runs for name in run.table.column("method")}
    if baseline is not None and known:
        checks.one_of("baseline", baseline, sorted(known))


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
