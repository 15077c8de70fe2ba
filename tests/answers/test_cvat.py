"""Exports of CVAT as tables of answers."""

from __future__ import annotations

import re

import numpy as np
import pytest

from robustjax import answers, data, methods

_META = """<meta><task><id>4</id><name>birds</name><mode>annotation</mode>
<labels><label><name>owl</name><type>tag</type></label></labels>
<assignee><username>ann</username></assignee></task></meta>
"""


def _birds(folder="", names=("owl", "crow & co")):
    ids = [f"{folder}bild {i} ü.png" for i in range(6)]
    inputs = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    return data.make_dataset(inputs, [0, 1] * 3, ids=ids, class_names=list(names))


def _image(row, inner="", name=None):
    name = name or f"bild {row} ü.png"
    return f'<image id="{row}" name="{name}" width="8" height="8">{inner}</image>\n'


def _tag(label):
    return (
        f'<tag label="{label}" source="manual"><attribute name="x">y</attribute></tag>'
    )


def _write(path, *images, version="1.1", head=""):
    text = (
        f'<?xml version="1.0" encoding="utf-8"?>\n{head}<annotations>\n'
        f"<version>{version}</version>\n{_META}{''.join(images)}</annotations>\n"
    )
    path.write_text(text, encoding="utf-8")
    return path


def test_tags_are_answers_and_images_without_one_are_open(tmp_path):
    images = [
        _image(3, _tag("owl")),
        _image(0, _tag("crow &amp; co")),
        _image(1),
        _image(5, _tag("don&apos;t know")),
    ]
    found = answers.read_answers(_write(tmp_path / "a.xml", *images), _birds())
    assert found.rows.tolist() == [3, 0, 1, 5]
    assert found.said.tolist() == [0, 1, answers.OPEN, answers.UNKNOWN]
    assert set(found.annotators) == {""}
    # The head, the version and the meta data before them take six lines.
    assert found.lines.tolist() == [7, 8, 9, 10]


def test_files_that_lost_their_folders_are_told_by_their_names(tmp_path):
    path = _write(tmp_path / "a.xml", _image(2, _tag("owl")))
    assert answers.read_answers(path, _birds("owl/")).rows.tolist() == [2]
    twice = _birds("owl/")
    twice.ids[5] = "elf/" + twice.ids[2].partition("/")[2]
    with pytest.raises(ValueError, match=r"1 id\(s\) do not occur in .*\(line 7: 'b"):
        answers.read_answers(path, twice)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "is no export of CVAT with some images"),
        (
            [_image(0, _tag("owl") + _tag("gull"))],
            "line 7: image 'bild 0 ü.png' has tags ['owl', 'gull'], expected one tag",
        ),
        (
            [_image(0, '<box label="owl" xtl="0" ytl="0" xbr="1" ybr="1"></box>')],
            "line 7: image 'bild 0 ü.png' has a box, expected one tag",
        ),
        ([_image(0), _image(1, _tag("gull"))], "(line 8)"),
        ([_image(9, _tag("owl"))], "(line 7: 'bild 9 ü.png')"),
        (['<track id="0" label="owl"></track>'], "line 7 is a track of a video"),
        (['<image id="0"></image>'], "the image of line 7 has no name"),
        (['<image name="a">'], "cannot read"),
        (
            [_image(0, _tag("owl")), _image(0, _tag("crow &amp; co"))],
            "lines 7 and 8 both answer id 'bild 0 ü.png' ('owl' and 'crow & co')",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path, images, message):
    path = _write(tmp_path / "a.xml", *images)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        answers.read_answers(path, _birds())
    assert str(caught.value).startswith("a.xml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE a [<!ENTITY b "bbb"><!ENTITY c "&b;&b;&b;">]>\n',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>\n',
        "<!DOCTYPE annotations>\n",
    ],
)
def test_document_types_are_refused_before_they_do_anything(tmp_path, head):
    path = _write(tmp_path / "a.xml", _image(0, _tag("&b;")), head=head)
    with pytest.raises(ValueError, match=r"a.xml: line 2 declares a document type"):
        answers.read_answers(path, _birds())


def test_another_version_or_no_xml_is_one_line(tmp_path):
    path = _write(tmp_path / "a.xml", _image(0, _tag("owl")), version="1.0")
    with pytest.raises(ValueError, match="choose its format CVAT for images 1.1"):
        answers.read_answers(path, _birds())
    path.write_bytes(b"\xff\xfeid,new_label")
    with pytest.raises(ValueError, match=r"a.xml: cannot read .*: no XML"):
        answers.read_answers(path, _birds())


@pytest.mark.slow
def test_an_export_amends_a_correction(tmp_path):
    said = []
    settings = methods.ClassifierSettings(hidden=(4, 4, 4), epochs=1, batch_size=3)
    exchange = methods.LabelExchange(
        tmp_path / "correction",
        _birds(),
        batch=2,
        settings=settings,
        method=methods.make_correction_method("random"),
        report=said.append,
    )
    images = [_image(3, _tag("owl")), _image(0, _tag("owl")), _image(1)]
    exchange.advance(amend=_write(tmp_path / "annotations.xml", *images))
    assert said == ["annotations.xml: took in 2: 1 confirmed, 1 changed; 0 still open"]
    assert exchange.labels.tolist() == [0, 1, 0, 0, 0, 1]
