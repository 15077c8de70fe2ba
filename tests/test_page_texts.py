"""What README and docs say beside their code: links, names, commands, options."""

from __future__ import annotations

import pathlib
import re

import pytest

from robustjax.tools.command.fields import flags_of
from robustjax.tools.command.verbs import VERBS
from tests.harness.page_commands import launched
from tests.printed_tables.pages import printed_tables
from tests.test_readme import PAGES, ROOT


def test_the_readme_is_short_and_its_links_lead_somewhere():
    assert len(PAGES["README.md"].read_text().splitlines()) <= 150
    seen = 0
    for page in PAGES.values():
        for link, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text()):
            if link.startswith("https://"):
                continue
            target = page.parent / link if link else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in headings(target), f"{page.name}: #{anchor}"
            seen += 1
    assert seen > 20


def headings(page: pathlib.Path) -> set[str]:
    """What links call the headings of a page."""
    found = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in found}


def test_the_transforms_of_the_table_exist():
    import robustjax

    text = PAGES["import.md"].read_text()
    table = next(printed_tables(text))
    listed = {
        name for row in table.cells[1:] for name in re.findall("`(\\w+)`", row[1])
    }
    for name in listed | {"only_where", "rowwise", "aggregate_weighted"}:
        assert callable(getattr(robustjax, name)), name
    heads = {"ce", "mae", "gce", "nce", "nfl", "ngce", "sop", "symmetric_ce"}
    assert listed >= heads | {"elr", "alpha_weights", "small_loss", "taufe"}


def test_commands_are_modules_with_the_flags_that_are_shown():
    """Every `python -m experiments.…` of a page, and every flag in it."""
    wrong, seen = [], 0
    for page in PAGES.values():
        for module, flags in launched(page.read_text()):
            path = ROOT / module.replace(".", "/")
            if path.is_dir():
                continue
            path = path.with_suffix(".py")
            if not path.exists():
                wrong.append((page.name, module))
                continue
            # A sweep takes the flags of its study, too.
            studies = re.findall(r"--study=(\w+)", flags)
            others = [ROOT / f"experiments/{study}.py" for study in studies]
            sources = "\n".join(map(_sources, (path, *others)))
            seen += 1
            wrong += [
                (page.name, module, flag)
                for flag in re.findall(r"--(\w+)", flags)
                if not re.search(
                    rf'"{flag}"|\b{flag}:|\b{flag.removeprefix("no")}: bool', sources
                )
            ]
    assert not wrong
    assert seen > 40


@pytest.mark.slow
def test_verbs_have_the_options_that_are_shown():
    """Every `robustjax VERB --option` of a page."""
    wrong, seen = [], set()
    for page in PAGES.values():
        text = re.sub(r"\\\n\s*", "", page.read_text())
        found = re.findall(
            r"(?:^ *|`)robustjax ([a-z-]+)([^`\n#]*)", text, re.MULTILINE
        )
        for name, typed in found:
            if name not in VERBS:
                wrong.append((page.name, name))
                continue
            seen.add(name)
            fields = {each.name for each in flags_of(VERBS[name].config_class)}
            wrong += [
                (page.name, name, option)
                for option in re.findall(r"--([\w-]+)", typed)
                if option.removeprefix("no-").replace("-", "_") not in fields
                and option != "help"
            ]
    assert not wrong
    assert seen == set(VERBS)


def _sources(path: pathlib.Path) -> str:
    """A launcher with the modules of its study and presets."""
    text = path.read_text()
    parts = re.findall(r"from ((?:experiments|robustjax)\.[\w.]+) import", text)
    files = {
        path,
        ROOT / "experiments/study/flag_groups.py",
        ROOT / "experiments/study/processes.py",
        *(ROOT / f"robustjax/tools/options/{n}.py" for n in ("groups", "open_set")),
    }
    for part in parts:
        files.add(ROOT / (part.replace(".", "/") + ".py"))
    return "\n".join(file.read_text() for file in files if file.exists())
