"""The site as it is built: every public name, every method, links that hold."""

from __future__ import annotations

import fcntl
import html.parser
import inspect
import pathlib
import re
import subprocess
import sys
import urllib.parse
import zlib

import pytest

pytest.importorskip("sphinx", reason="needs the extra `docs`")

from docs.extension.public_names import all_names, faces, homes
from docs.extension.reference import constant_docs, is_constant
from robustjax.methods import entries

ROOT = pathlib.Path(__file__).parents[1]
SITE = ROOT / "build" / "docs"
_WRITTEN = re.compile(r"\s*(Args|Returns|Raises|Attributes|Example|Yields):")

pytestmark = pytest.mark.slow


class Page(html.parser.HTMLParser):
    """What the tests look for in a page."""

    def __init__(self, path: pathlib.Path):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.text: list[str] = []
        self._code = 0
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids |= {found["id"]} if found.get("id") else set()
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in ("script", "img", "link") and found.get("rel") != "canonical":
            self.loaded += [found[key] for key in ("src", "href") if found.get(key)]
        self._code += tag in ("pre", "code", "script", "style")

    def handle_endtag(self, tag):
        self._code -= tag in ("pre", "code", "script", "style")

    def handle_data(self, data):
        if not self._code:
            self.text.append(data)


@pytest.fixture(scope="module")
def site():
    """Path below the site -> page; what has not changed is not built again."""
    SITE.parent.mkdir(exist_ok=True)
    # Test processes that share the folder wait for each other.
    with open(SITE.parent / "docs.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q"]
        done = subprocess.run(
            [*command, "-d", SITE.parent / "doctrees", ROOT / "docs", SITE],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    return {
        str(path.relative_to(SITE)): Page(path)
        for path in SITE.rglob("*.html")
        if "_static" not in path.parts
    }


def inventory() -> dict[str, str]:
    """Name -> place of every Python object, as other sites look it up."""
    *_, packed = (SITE / "objects.inv").read_bytes().split(b"\n", 4)
    places = {}
    for line in zlib.decompress(packed).decode().splitlines():
        name, kind, _, place, _ = line.split(" ", 4)
        if kind.startswith("py:"):
            places[name] = place.removesuffix("$") + name * place.endswith("$")
    return places


def test_every_public_name_has_an_entry(site):
    places = inventory()
    public = {name.path for name in all_names()} | set(faces())
    assert len(public) > 600
    assert public <= set(places)
    for name in public:
        page, _, anchor = places[name].partition("#")
        assert anchor in site[page].ids, name


def test_every_public_name_says_what_it_is():
    silent = [
        name.path
        for name in all_names()
        if homes().get(name.path, name.path) == name.path
        and not (
            constant_docs(name)
            if not name.is_module and is_constant(name.value)
            else inspect.getdoc(name.value)
        )
    ]
    assert not silent


def test_every_method_is_in_the_table(site):
    text = (SITE / "reference" / "methods.html").read_text()
    for entry in entries():
        assert f">{entry.name}</span>" in text, entry.name
        assert entry.source.split(",")[0].split("'")[0] in text, entry.name


def test_links_hold(site):
    broken, seen = [], 0
    for name, page in site.items():
        for link in page.links + page.loaded:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            seen += 1
            own = (SITE / name).parent / urllib.parse.unquote(parts.path)
            path = (own if parts.path else SITE / name).resolve()
            known = site.get(str(path.relative_to(SITE)))
            anchor = urllib.parse.unquote(parts.fragment)
            if not path.exists() or (anchor and known and anchor not in known.ids):
                broken.append((name, link))
    assert not broken
    assert seen > 5000


def test_the_site_needs_no_network(site):
    foreign = {
        (name, link)
        for name, page in site.items()
        for link in page.loaded
        if urllib.parse.urlsplit(link).netloc
    }
    assert not foreign


def test_sections_of_docstrings_are_rendered(site):
    raw = [
        (name, text)
        for name, page in site.items()
        for text in page.text
        if _WRITTEN.match(text)
    ]
    assert not raw
