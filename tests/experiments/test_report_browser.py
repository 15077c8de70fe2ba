"""The report in a real browser: nothing runs that should not, and tables sort."""

from __future__ import annotations

import pytest

from experiments.reporting.page import write_report
from tests.experiments.report_folders import METHODS, PIPES, SCRIPT, write_run
from tests.harness.chromium import chromium

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser():
    yield from chromium()


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    home = tmp_path_factory.mktemp("report")
    folders = [write_run(home), write_run(home, finish=False, name="half")]
    write_report([str(folder) for folder in folders], str(home / "out"))
    browser.get((home / "out.html").as_uri())
    return browser


def column(page, number):
    """The texts of a column of the first table of results."""
    return page.execute_script(
        "const table = document.querySelector('h3 + .scroll table');"
        "return [...table.tBodies[0].rows].map(r => r.cells[arguments[0]].textContent)",
        number,
    )


def header(page, number):
    return page.find_elements("css selector", "h3 + .scroll th")[number]


def test_no_error_and_no_alert(page):
    from selenium.common.exceptions import NoAlertPresentException

    assert page.get_log("browser") == []
    with pytest.raises(NoAlertPresentException):
        page.switch_to.alert.accept()
    assert page.find_elements("css selector", "body script:not(:last-child)") == []
    assert len(page.find_elements("css selector", "script")) == 1
    assert SCRIPT in page.find_element("tag name", "main").text
    assert column(page, 0) == list(METHODS)


def test_pictures_load(page):
    from selenium.webdriver.support.wait import WebDriverWait

    script = "return [...document.images].map(i => i.complete ? i.naturalWidth : -1)"
    WebDriverWait(page, 20).until(lambda p: -1 not in p.execute_script(script))
    widths = page.execute_script(script)
    # Plots of both runs, and examples of those methods that are there.
    assert len(widths) == 2 + 4 * (6 + 1 + 1)
    assert min(widths) > 0
    assert page.execute_script("return [...document.images].every(i => i.alt)")


def test_tables_sort_by_number(page):
    from selenium.webdriver.common.keys import Keys

    for repetition, (order, rows) in enumerate(
        (
            ("ascending", ["8.5 ±0.7", "29.0 ±1.4", "55.0 (1 of 2)"]),
            ("descending", ["55.0 (1 of 2)", "29.0 ±1.4", "8.5 ±0.7"]),
        )
    ):
        button = header(page, 2).find_element("tag name", "button")
        # The second time from the keyboard.
        button.send_keys(Keys.ENTER) if repetition else button.click()
        assert column(page, 2) == rows
        assert header(page, 2).get_attribute("aria-sort") == order
    header(page, 0).find_element("tag name", "button").click()
    assert sorted(column(page, 0)) == sorted(METHODS)
    assert column(page, 0)[-1] == "ce"
    assert column(page, 2)[column(page, 0).index(PIPES)] == "55.0 (1 of 2)"
    assert header(page, 2).get_attribute("aria-sort") is None


@pytest.mark.parametrize("width", [320, 1200])
def test_nothing_leads_out_of_the_window(page, width):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.execute_script("document.querySelectorAll('details').forEach(d => d.open = 1)")
    script = "return document.documentElement.scrollWidth"
    assert page.execute_script(script) <= width
