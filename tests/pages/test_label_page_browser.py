"""A batch is labelled by keys in a real browser, and the file that it saves is read."""

from __future__ import annotations

import time

import numpy as np
import pytest

from robustjax import answers, data, pages
from tests.harness.chromium import chromium

pytestmark = pytest.mark.browser

SCRIPT = "<script>document.title = 'run'</script>"
NAMES = ("cat", "dog", f"=1+2 {SCRIPT}")
IDS = [f"img {n:02d} <b>&'\"" for n in range(14)] + ["=HYPERLINK(1)", "komma, ü\nzwei"]
SIZE = len(IDS)


@pytest.fixture(scope="module")
def browser():
    yield from chromium("window-size=1200,800")


@pytest.fixture(scope="module")
def animals():
    inputs = np.zeros((SIZE, 8, 8, 3), np.uint8)
    inputs[:, :4] = 255
    labels = np.arange(SIZE) % 3
    return data.make_dataset(inputs, labels, ids=IDS, class_names=NAMES)


@pytest.fixture
def page(browser, animals, tmp_path):
    """The page of all rows, whose suggestion is the next class; nothing answered."""
    batch = pages.issues_batch(
        animals,
        np.arange(12),
        (animals.labels + 1) % 3,
        np.linspace(0, 1, SIZE),
        pages.dataset_media(animals, texts=[f"text {SCRIPT} {i}" for i in IDS]),
        title=f"animals {SCRIPT}",
        drawn=np.arange(12, SIZE),
        neighbors=2,
    )
    path = tmp_path / "issues.html"
    assert pages.write_page(path, batch) == [path]
    browser.get(path.as_uri())
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    browser.execute_cdp_cmd(
        "Page.setDownloadBehavior",
        {"behavior": "allow", "downloadPath": str(tmp_path)},
    )
    return browser


def press(page, *keys):
    for key in keys:
        page.switch_to.active_element.send_keys(key)


def said(page):
    """The answers that are shown, in the order of the cards."""
    return page.execute_script(
        "return [...document.querySelectorAll('.card')].map("
        "e => e.querySelector('.said').textContent)"
    )


def view(page, name):
    page.find_element("css selector", f"[data-view={name}]").click()


def saved(page, folder):
    page.find_element("id", "save").click()
    path = folder / "labeled.csv"
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return path


def test_a_batch_is_labelled_by_keys_kept_undone_and_saved(page, animals, tmp_path):
    from selenium.webdriver.common.keys import Keys

    assert page.get_log("browser") == []
    assert page.title == f"animals {SCRIPT}"
    # Card 2 is the first that was drawn, row 12.
    press(page, "2", ".", Keys.ENTER, "?", "-", " ", "3", Keys.BACKSPACE)
    expected = [
        *("→ dog", "✓ dog", "→ dog"),
        *("don't know", "none of them", "skipped: stays open", ""),
    ]
    assert said(page)[:7] == expected
    page.refresh()
    assert said(page)[:7] == expected
    # It goes on where it was, with what can be undone.
    press(page, Keys.BACKSPACE)
    assert said(page)[5] == ""
    press(page, Keys.ARROW_LEFT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, "3")
    page.find_element("id", "annotator").send_keys(" Ann ")
    table = answers.read_answers(saved(page, tmp_path), animals)
    assert [IDS[row] for row in table.rows] == [
        animals.ids[row]
        for row in (0, 1, 12, *range(2, 5), 13, 5, 6, 7, 14, 8, 9, 10, 15, 11)
    ]
    assert table.said.tolist()[:7] == [1, 1, 1, answers.UNKNOWN, answers.NONE, -1, 2]
    assert set(table.said[7:].tolist()) == {answers.OPEN}
    assert set(table.annotators) == {"Ann"}
    assert page.get_log("browser") == []


def test_many_are_accepted_at_once_in_the_grid(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.select import Select

    view(page, "grid")
    cards = page.find_elements("css selector", ".card")
    cards[0].click()
    ActionChains(page).key_down(Keys.SHIFT).click(cards[9]).key_up(Keys.SHIFT).perform()
    assert "10 chosen" in page.find_element("id", "count").text
    press(page, Keys.ENTER)
    assert sum(text != "" for text in said(page)) == 10
    Select(page.find_element("id", "status")).select_by_value("open")
    assert len(page.find_elements("css selector", ".card:not([hidden])")) == 6
    # All at once are one step.
    press(page, Keys.BACKSPACE)
    assert said(page) == [""] * SIZE


def test_the_estimate_is_by_wilsons_interval(page):
    """Of 10 suspects 4 wrong, 2 others left; of those that were drawn nothing known."""
    from selenium.webdriver.common.keys import Keys

    drawn = page.execute_script(
        "return [...document.querySelectorAll('.card')].map("
        "e => e.querySelector('.drawn') !== null)"
    )
    judged = 0
    for chance in drawn:
        if chance or judged == 10:
            press(page, Keys.ARROW_RIGHT)
        else:
            press(page, Keys.ENTER if judged < 4 else ".")
            judged += 1
    z, share, seen = 1.959963984540054, 0.4, 10
    centre = share + z * z / (2 * seen)
    half = z * np.sqrt(share * (1 - share) / seen + z * z / (4 * seen * seen))
    high = (centre + half) / (1 + z * z / seen)
    text = page.find_element("id", "estimate").text
    # The suspects that are left, and the four that were drawn.
    assert f"at most {int(np.ceil(6 * high))} wrong labels" in text
    assert "as the order is by suspicion" in text


def test_more_classes_than_keys_are_found_by_typing(browser, tmp_path):
    from selenium.webdriver.common.keys import Keys

    names = [f"class {n}" for n in range(50)]
    cards = [pages.Card(n, suggested=names[n]) for n in range(3)]
    path = tmp_path / "to_label.html"
    pages.write_page(path, pages.Batch("many", names, cards))
    browser.get(path.as_uri())
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    press(browser, "z", "/")
    press(browser, "class 49", Keys.ENTER)
    assert said(browser) == ["→ class 35", "→ class 49", ""]


@pytest.mark.slow
def test_pictures_beside_the_page_load_and_nothing_else_may(browser, tmp_path):
    rng = np.random.default_rng(0)
    pictures = [
        pages.picture_of(rng.integers(0, 256, (256, 256, 3), np.uint8))
        for _ in range(60)
    ]
    cards = [
        pages.Card(number, picture=picture) for number, picture in enumerate(pictures)
    ]
    path = tmp_path / "to label#1.html"
    written = pages.write_page(path, pages.Batch("pictures", ("a", "b"), cards))
    assert written == [path, tmp_path / "to label#1_files"]
    browser.get(path.as_uri())
    from selenium.webdriver.support.wait import WebDriverWait

    first = "return document.images[0].naturalWidth"
    WebDriverWait(browser, 20).until(lambda b: b.execute_script(first) == 256)
    # What is out of sight waits.
    last = "return document.images[59].complete"
    assert not browser.execute_script(last)
    assert browser.get_log("browser") == []
    blocked = browser.execute_async_script(
        "const done = arguments[0]; const image = new Image();"
        "image.onerror = () => done(true); image.onload = () => done(false);"
        "image.src = 'http://localhost:9/x.png';"
    )
    assert blocked
    assert "Content Security Policy" in browser.get_log("browser")[0]["message"]
