"""The export "CVAT for images 1.1": images and their tags.

Of that format, what is read is the `name` of every `image` and the `label` of its
`tag`; who tagged is not in it. https://docs.cvat.ai/docs/other/xml_format/
describes it.
"""

from __future__ import annotations

import pathlib
from xml.parsers import expat

from robustjax.files import check_readable

CVAT_SUFFIX = ".xml"
"""What the name of an export ends with."""

_VERSION = "1.1"


def cvat_images(path: pathlib.Path, *, name: str) -> list[tuple[int, str, str]]:
    """Reads (line, name, tag) of every image; a tag is "" where there is none.

    Args:
      path: of the file.
      name: what to call it in an error.

    Raises:
      ValueError: a file that cannot be read or is no such export, one that declares a
        document type (its entities could grow without bound, or read other files), or
        an image with several tags or with a shape.
    """
    images = _Images(name)
    try:
        check_readable(path)
        with open(path, "rb") as file:
            images.parser.ParseFile(file)
    except (OSError, expat.ExpatError) as error:
        reason = getattr(error, "strerror", None) or f"no XML ({error})"
        raise ValueError(f"{name}: cannot read {str(path)!r}: {reason}") from None
    if images.version.strip() != _VERSION or not images.rows:
        raise ValueError(
            f"{name}: {str(path)!r} is no export of CVAT with some images; choose its "
            "format CVAT for images 1.1, or a table"
        )
    return images.rows


class _Images:
    """What a parser meets: (line, name, tag) of every image, and the version."""

    def __init__(self, name: str) -> None:
        self.rows: list[tuple[int, str, str]] = []
        self.version = ""
        self._name = name
        self._open: list[str] = []
        self._tags: list[str] = []
        self.parser = expat.ParserCreate()
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _doctype(self, *declared: object) -> None:
        del declared
        raise ValueError(
            f"{self._name}: line {self.parser.CurrentLineNumber} declares a document "
            "type (<!DOCTYPE), which an export of CVAT does not"
        )

    def _start(self, element: str, attributes: dict[str, str]) -> None:
        self._open.append(element)
        line = self.parser.CurrentLineNumber
        if self._open == ["annotations", "image"]:
            if "name" not in attributes:
                raise ValueError(f"{self._name}: the image of line {line} has no name")
            self._tags = []
            self.rows.append((line, attributes["name"], ""))
        elif self._open == ["annotations", "track"]:
            raise ValueError(
                f"{self._name}: line {line} is a track of a video; choose the format "
                "CVAT for images 1.1"
            )
        elif self._open[:-1] == ["annotations", "image"]:
            self._add(element, attributes.get("label", ""), line)

    def _add(self, element: str, label: str, line: int) -> None:
        self._tags.append(label)
        if element != "tag" or len(self._tags) > 1:
            got = f"a {element}" if element != "tag" else f"tags {self._tags}"
            raise ValueError(
                f"{self._name}: line {line}: image {self.rows[-1][1]!r} has {got}, "
                "expected one tag"
            )
        self.rows[-1] = (*self.rows[-1][:2], label)

    def _end(self, element: str) -> None:
        del element
        self._open.pop()

    def _text(self, text: str) -> None:
        if self._open == ["annotations", "version"]:
            self.version += text
