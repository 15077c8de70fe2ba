"""A page of as many images as a command puts on one: it opens, and answers at once."""

from __future__ import annotations

import time

import numpy as np
import pytest

from robustjax import answers, data, pages
from robustjax.tools.pages import _MOST_CARDS
from tests.harness.chromium import chromium

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Seconds, on two cores that others work on, too; a person notices half a second.
_OPENS, _ANSWERS, _ARRANGES = 30, 0.5, 10


@pytest.fixture(scope="module")
def browser():
    yield from chromium("window-size=1200,800")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """(the data set, its page)."""
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (_MOST_CARDS, 28, 28, 1), np.uint8)
    names = [f"Klasse № {c}" for c in range(10)]
    dataset = data.make_dataset(
        images, np.arange(_MOST_CARDS) % 10, class_names=names, name="many"
    )
    batch = pages.issues_batch(
        dataset,
        np.arange(_MOST_CARDS),
        (dataset.labels + 1) % 10,
        np.linspace(0, 1, _MOST_CARDS),
        pages.dataset_media(dataset),
        title="many",
        neighbors=4,
    )
    path = folder / "issues.html"
    assert pages.write_page(path, batch) == [path, folder / "issues_files"]
    return dataset, path


def _seconds(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def test_five_thousand_images_open_and_are_answered(browser, many, tmp_path):
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.select import Select

    dataset, path = many
    # Pictures lie beside it.
    assert path.stat().st_size < 10 * 2**20
    assert _seconds(lambda: browser.get(path.as_uri())) < _OPENS
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    assert len(browser.find_elements("css selector", ".card")) == _MOST_CARDS
    loaded = "return [...document.images].filter(i => i.complete).length"
    count = browser.execute_script("return document.images.length")
    assert count == 5 * _MOST_CARDS
    # What is out of sight waits.
    assert 0 < browser.execute_script(loaded) < count / 20

    def press(key):
        browser.switch_to.active_element.send_keys(key)
        # Whatever the key has set off is done by then.
        browser.execute_script("return document.body.offsetHeight")

    press("1")
    each = [_seconds(lambda key=key: press(key)) for key in "2345678901"]
    assert np.median(each) < _ANSWERS
    assert "11 of 5000 answered" in browser.find_element("id", "count").text

    # All of one class at once, in the grid.
    def of_one_class():
        browser.find_element("css selector", "[data-view=grid]").click()
        Select(browser.find_element("id", "class-filter")).select_by_index(4)
        Select(browser.find_element("id", "sort")).select_by_value("score-down")
        browser.execute_script("return document.body.offsetHeight")

    assert _seconds(of_one_class) < _ARRANGES
    assert "1000 shown" in browser.find_element("id", "count").text

    def accept():
        press(Keys.CONTROL + "a" + Keys.NULL)
        press(Keys.ENTER)

    assert _seconds(accept) < _ARRANGES
    folders = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Page.setDownloadBehavior", folders)
    browser.find_element("id", "save").click()
    deadline = time.monotonic() + 20
    while not (tmp_path / "labeled.csv").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    table = answers.read_answers(tmp_path / "labeled.csv", dataset)
    assert len(table.rows) == _MOST_CARDS
    said = np.full(_MOST_CARDS, answers.OPEN)
    said[table.rows] = table.said
    shown = (dataset.labels == 3) | (dataset.labels == 2)
    assert (said[shown] == (dataset.labels[shown] + 1) % 10).sum() >= 989
    assert (said[~shown][11:] == answers.OPEN).all()
    assert browser.get_log("browser") == []
