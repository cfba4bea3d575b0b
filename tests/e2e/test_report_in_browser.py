"""The report as a reader sees it, in a real browser (skipped where Chromium or Playwright is not installed)."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pellucid.cli.main import main
from pellucid.report.card import write_card
from pellucid.stages.run_folder import open_recipe

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


@pytest.mark.parametrize("width", [390, 1280])
def test_the_data_card_fits_the_window_and_no_text_in_it_comes_alive(
    browser: Any, documents_run: Path, tmp_path: Path, width: int
) -> None:
    write_card(documents_run, open_recipe(documents_run), tmp_path)
    page = browser.new_page(viewport={"width": width, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.goto((tmp_path / "data.html").as_uri())
    assert complaints == []
    assert page.title() == "pocket-smoke: data card"
    assert page.locator("script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [box.bounding_box() for box in page.locator("article pre, dd, .lengths svg, .bar").all()]
    assert len(boxes) > 20
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes), "long words wrap"
    page.close()


def test_a_number_leads_to_its_artifact(browser: Any, finished_run: Path) -> None:
    page = browser.new_page()
    page.goto((finished_run / "report" / "index.html").as_uri())
    fact = page.locator(".card a.fact").nth(2)
    fact.focus()
    where = page.locator(f"#{fact.get_attribute('aria-describedby')}")
    assert where.is_visible() and "scores/heldout.json" in where.inner_text()
    where.locator("a").click()
    assert page.url.endswith("/scores/heldout.json")
    page.close()


@pytest.mark.parametrize("width", [390, 1200])
def test_a_comparison_fits_the_window_and_no_text_in_it_comes_alive(
    browser: Any, write_result: Callable[..., Path], tmp_path: Path, width: int
) -> None:
    for label, shift in (("weak", 0.0), ("a-strong-model-with-a-long-name", 0.2)):
        tasks = {"arc_challenge": 0.3 + shift, "hellaswag": 0.4, "<script>document.title='taken'</script>": 0.5}
        write_result(tmp_path / label, "open_llm", label, tasks, metric="acc_norm", dirty=9)
    folders = [str(path) for path in sorted(tmp_path.iterdir())]
    assert main(["compare", *folders, "--printed", "--html", str(tmp_path / "page.html")]) == 0
    page = browser.new_page(viewport={"width": width, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.goto((tmp_path / "page.html").as_uri())
    assert complaints == [] and page.title() == "a-strong-model-with-a-long-name / weak: comparison"
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("tr.printed").count() == 11 and page.locator("script").count() == 0
    assert all(box["height"] > 50 for box in (svg.bounding_box() for svg in page.locator("figure svg").all()))
    page.close()
