"""The report as a reader sees it, in a real browser (skipped where Chromium or Playwright is not installed)."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as session:
        opened = session.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits_the_window_and_draws_without_complaint(browser: Any, finished_run: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.goto((finished_run / "report" / "index.html").as_uri())
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("figure svg").count() >= 4
    assert all(box["height"] > 50 for box in (svg.bounding_box() for svg in page.locator("figure svg").all()))
    page.close()


def test_a_number_leads_to_its_artifact(browser: Any, finished_run: Path) -> None:
    page = browser.new_page()
    page.goto((finished_run / "report" / "index.html").as_uri())
    fact = page.locator(".card a.fact").nth(2)
    assert "scores/heldout.json" in fact.get_attribute("title")
    fact.click()
    assert page.url.endswith("/scores/heldout.json")
    page.close()
