"""One file from a batch: what is shown is escaped, and nothing is loaded from afar."""

from __future__ import annotations

import base64
import functools
import hashlib
import pathlib
import re
import urllib.parse
from collections.abc import Callable
from typing import Any

from robustjax.files import write_atomically
from robustjax.output_paths import Path, check_output_file, check_output_folder
from robustjax.pages._batch import Batch
from robustjax.pages._keys import class_keys
from robustjax.pages._pictures import media_type

_TEMPLATES = pathlib.Path(__file__).parent / "templates"
_SCRIPTS = ("state", "estimate", "table", "order", "main", "controls")
# Beyond it, pictures are files beside the page.
_MOST_INSIDE = 2_000_000
_SIDE_FILE = re.compile(r"[0-9a-f]{16}\.(png|jpeg)")


def write_page(path: Path, batch: Batch) -> list[pathlib.Path]:
    """Writes a page on which a batch is looked at and answered.

    The page needs no server and no network. It keeps answers in the browser and saves
    them as a `labeled.csv` for `answers.read_answers`. Without JavaScript it can be
    read and printed. Where there are many pictures, they lie in a folder beside it,
    `<name>_files`, from which those of an earlier page are removed.

    Args:
      path: of the page, such as `to_label.html`.
      batch: what it shows.

    Returns:
      What was written: the page, and the folder where there is one.

    Raises:
      ValueError: a path that cannot be written.
      ImportError: Jinja2 is not installed.
    """
    render = _renderer()
    page = pathlib.Path(path)
    check_output_file("page", page)
    folder = page.with_name(f"{page.stem}_files")
    pictures = {
        picture: f"{hashlib.sha256(picture).hexdigest()[:16]}.{media_type(picture)}"
        for card in batch.cards
        for picture in (card.picture, *(near.picture for near in card.neighbors))
        if picture is not None
    }
    inside = sum(map(len, pictures)) <= _MOST_INSIDE
    if not inside:
        check_output_folder("page", folder)
        folder.mkdir(exist_ok=True)
        for picture, name in pictures.items():
            if not (folder / name).exists():
                write_atomically(folder / name, picture)
    _remove_others(folder, set() if inside else set(pictures.values()))

    def source(picture: bytes) -> str:
        if inside:
            code = base64.b64encode(picture).decode()
            return f"data:image/{media_type(picture)};base64,{code}"
        return f"{urllib.parse.quote(folder.name)}/{pictures[picture]}"

    write_atomically(page, render(source, batch))
    return [page] if inside else [page, folder]


def remove_page(path: Path) -> None:
    """Removes a page and the pictures beside it, if there are any.

    Args:
      path: as for `write_page`.
    """
    page = pathlib.Path(path)
    page.unlink(missing_ok=True)
    _remove_others(page.with_name(f"{page.stem}_files"), set())


def _remove_others(folder: pathlib.Path, names: set[str]) -> None:
    """Removes pictures of an earlier page, and the folder if nothing else is there."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _SIDE_FILE.fullmatch(path.name) and path.name not in names:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _renderer() -> Callable[[Callable[[bytes], str], Batch], str]:
    try:
        import jinja2
    except ImportError:
        raise ImportError("pages need Jinja2: pip install 'robustjax[tools]'") from None

    def render(source: Callable[[bytes], str], batch: Batch) -> str:
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES),
            undefined=jinja2.StrictUndefined,
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["digest"] = _digest
        environment.filters["source"] = source
        facts = facts_of(batch)
        return environment.get_template("label.html").render(
            batch=batch,
            facts=facts,
            labeled=facts["labeled"],
            suggesting=facts["suggesting"],
            scored=any(card.score is not None for card in batch.cards),
            style=_style(),
            script=_script(),
        )

    return render


def facts_of(batch: Batch) -> dict[str, Any]:
    """What the page's script knows of a batch.

    Args:
      batch: what the page shows.
    """
    number = {name: place for place, name in enumerate(batch.class_names)}
    pictures = [card.picture for card in batch.cards if card.picture]
    return {
        "digest": batch.digest,
        "classes": list(batch.class_names),
        "keys": class_keys(batch.class_names),
        "ranked": batch.ranked,
        "others": batch.others,
        "none_of_them": batch.none_of_them,
        "labeled": any(card.current for card in batch.cards),
        "suggesting": any(card.suggested for card in batch.cards),
        # Few pixels are shown as they are.
        "small": all(media_type(picture) == "png" for picture in pictures),
        "wide": any(card.text for card in batch.cards),
        "cards": [
            {
                "id": card.id,
                "current": number.get(card.current, -1),
                "suggested": number.get(card.suggested, -1),
                "score": card.score,
                "drawn": card.drawn,
            }
            for card in batch.cards
        ],
    }


@functools.cache
def _script() -> str:
    parts = [(_TEMPLATES / f"{name}.js").read_text("utf-8") for name in _SCRIPTS]
    return '"use strict";\n{\n' + "\n".join(parts) + "}\n"


@functools.cache
def _style() -> str:
    return (_TEMPLATES / "label.css").read_text("utf-8")


def _digest(text: str) -> str:
    """For the page's own policy: what it may run, and nothing else."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
