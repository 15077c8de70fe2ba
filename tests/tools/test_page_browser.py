"""The curator's round: the command, the page, the keys, and the command again."""

from __future__ import annotations

import time

import numpy as np
import pytest

from robustjax import data
from tests.harness.chromium import chromium
from tests.harness.tool_runs import run_verb

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser():
    yield from chromium()


@pytest.mark.slow
def test_what_the_page_saves_is_taken_in(browser, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 8, 8, 1), np.uint8)
    np.savez(tmp_path / "pool.npz", inputs=images, ids=np.arange(20) * 3)
    folder = tmp_path / "labelling"
    options = {
        "dataset": tmp_path / "pool.npz",
        "classes": "Eule,Uhu",
        "folder": folder,
        "batch": 6,
        "method": "random",
        "network": "mlp",
        "hidden": "4",
        "epochs": 1,
        "batch_size": 4,
        "steps_per_epoch": 1,
    }
    done = run_verb("label", **options)
    assert done.returncode == 0, done.stderr
    browser.get((folder / "to_label.html").as_uri())
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    assert browser.execute_script("return document.images[0].naturalWidth") == 8
    for key in ("1", "2", "-", "?", " "):
        browser.switch_to.active_element.send_keys(key)
    folders = {"behavior": "allow", "downloadPath": str(folder)}
    browser.execute_cdp_cmd("Page.setDownloadBehavior", folders)
    browser.find_element("id", "save").click()
    deadline = time.monotonic() + 20
    while not (folder / "labeled.csv").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    done = run_verb("label", **options)
    assert done.returncode == 0, done.stderr
    told = "took in 4: 2 labeled, 1 none of the classes, 1 not known; 2 still open"
    assert f"labeled.csv: {told}" in done.stdout
    rows = data.read_csv(folder / "labels.csv", name="labels")
    found = sorted(row["label"] for row in rows if row["label"])
    assert found == ["Eule", "Uhu", "ood"]
