"""The report as a reader sees it, in a real browser (skipped where Chromium or Playwright is not installed)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.cli.main import main
from pellucid.report.card import write_card
from pellucid.stages.run_folder import open_recipe


def opened(browser: Any, file: Path, width: int = 1200, **options: Any) -> tuple[Any, list[str]]:
    """The page, and what it complains of or asks for from outside."""
    page = browser.new_page(viewport={"width": width, "height": 900}, **options)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.on("request", lambda request: complaints.append(request.url) if request.url != file.as_uri() else None)
    page.goto(file.as_uri())
    return page, complaints


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_fits_the_window_and_asks_for_nothing(browser: Any, finished_run: Path, width: int, scheme: str) -> None:
    page, complaints = opened(browser, finished_run / "report" / "index.html", width, color_scheme=scheme)
    assert complaints == []
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    drawn = page.locator(".drawing svg").all()
    assert len(drawn) >= 8 and all(box["height"] > 50 for box in (svg.bounding_box() for svg in drawn))
    captions = [one.bounding_box() for one in page.locator("figcaption").all()]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in captions), "captions stay where they can be read"
    page.close()


def test_everything_is_named_and_reached_without_a_mouse(browser: Any, finished_run: Path) -> None:
    page, _ = opened(browser, finished_run / "report" / "index.html")
    assert page.locator("h1").count() == 1 and page.locator("html[lang=en]").count() == 1
    assert page.locator("main section > h2").count() == page.locator("main > section").count()
    unnamed = """() => [...document.querySelectorAll('svg[role=img], [role=region], nav')].filter(one => {
        const told = (one.getAttribute('aria-labelledby') || '').split(' ').filter(Boolean)
        return !one.getAttribute('aria-label') && (!told.length || told.some(id => !document.getElementById(id)?.textContent))
    }).length"""
    assert page.evaluate(unnamed) == 0
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids))
    assert page.evaluate("[...document.querySelectorAll('.scroll')].every(one => one.tabIndex === 0)")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.close()


_CONTRAST = """() => {
    const parts = text => text.match(/[\\d.]+/g).map(Number)
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, n) => sum + v * [.2126, .7152, .0722][n], 0)
    const behind = one => {
        for (; one; one = one.parentElement) {
            const colour = parts(getComputedStyle(one).backgroundColor)
            if (colour.length === 3 || colour[3] === 1) return colour
        }
        return [255, 255, 255]
    }
    const faint = []
    for (const one of document.querySelectorAll('p, td, th, h1, h2, h3, b, a, figcaption, summary, code, span')) {
        if (!one.textContent.trim() || !one.getClientRects().length) continue
        const [a, b] = [light(parts(getComputedStyle(one).color)), light(behind(one))]
        const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05)
        if (ratio < 4.5) faint.push(`${one.tagName} ${one.className} ${ratio.toFixed(2)}`)
    }
    return [...new Set(faint)]
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_stand_out_from_what_is_behind_them(browser: Any, finished_run: Path, scheme: str) -> None:
    for name in ("index.html", "data.html"):
        page, _ = opened(browser, finished_run / "report" / name, color_scheme=scheme)
        assert page.evaluate(_CONTRAST) == []
        page.close()


def test_a_number_tells_its_source_by_keyboard_mouse_and_touch(browser: Any, finished_run: Path) -> None:
    page, _ = opened(browser, finished_run / "report" / "index.html", has_touch=True)
    fact = page.locator("#heldout td a.fact").first
    where = page.locator(f"#{fact.get_attribute('aria-describedby')}")
    told = ("scores/heldout.json", "/bits_per_byte/", "pellucid evaluate RECIPE")
    assert not where.is_visible()
    for show, hide in (
        (fact.focus, lambda: fact.blur()),
        (fact.hover, lambda: page.mouse.move(0, 0)),
        (fact.tap, lambda: page.locator("h1").tap()),
    ):
        fact.scroll_into_view_if_needed()  # a window far away is moved there over some frames
        show()
        assert where.is_visible() and all(part in where.inner_text() for part in told)
        box = where.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 1200 and box["y"] >= 0 and box["y"] + box["height"] <= 900
        hide()
        assert not where.is_visible()
    fact.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "../scores/heldout.json"
    page.keyboard.press("Enter")
    page.wait_for_url("**/scores/heldout.json")
    page.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_the_source_of_a_number_at_the_windows_edge_is_seen_whole(browser: Any, finished_run: Path, width: int) -> None:
    page, _ = opened(browser, finished_run / "report" / "index.html", width)
    for fact in (page.locator("#data tr").nth(1).locator("a.fact").last, page.locator("#machine a.fact").last):
        fact.focus()
        box = page.locator(f"#{fact.get_attribute('aria-describedby')}").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["height"] < 250
    page.close()


_BEYOND = """() => [...document.querySelectorAll('.table .scroll')].filter(one => one.scrollWidth > one.clientWidth + 1)
    .map(one => one.closest('section').id)"""


def test_on_a_phone_short_tables_are_lists_and_wide_ones_have_a_shadow(browser: Any, finished_run: Path) -> None:
    page, _ = opened(browser, finished_run / "report" / "index.html", 360)
    beyond = page.evaluate(_BEYOND)
    assert beyond and not {"verification", "forecast", "machine", "architecture", "exports"} & set(beyond)
    for section in ("verification", "forecast", "machine"):
        boxes = [cell.bounding_box() for cell in page.locator(f"#{section} td").all()]
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= 360 for box in boxes)
    told = page.locator("#verification td[data-long]").first
    assert told.bounding_box()["width"] > 250, "what holds has the whole line"
    assert "What holds" in told.evaluate("one => getComputedStyle(one, '::before').content")
    wide = page.locator(".table .scroll", has=page.locator("table:not(.stacked)")).first
    shadow = wide.evaluate("one => getComputedStyle(one).backgroundAttachment")
    assert shadow == "local, scroll"
    page.close()


def test_letters_of_figures_are_read_in_the_dark(browser: Any, finished_run: Path) -> None:
    page, _ = opened(browser, finished_run / "report" / "index.html", color_scheme="dark")
    fills = """() => [...new Set([...document.querySelectorAll('#heldout svg text, #training svg text')]
        .map(one => getComputedStyle(one).fill))]"""
    assert page.evaluate(fills) == ["rgb(228, 231, 234)"]
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_paper_the_card_of_the_checks_has_a_frame(browser: Any, finished_run: Path, scheme: str) -> None:
    page, _ = opened(browser, finished_run / "report" / "index.html", 700, color_scheme=scheme)
    page.emulate_media(media="print", color_scheme=scheme)
    style = page.evaluate(
        "(({borderTopColor, color}) => [borderTopColor, color])(getComputedStyle(document.querySelector('.card.good')))"
    )
    assert style[0] == "rgb(20, 105, 61)"
    page.close()


def test_on_paper_nothing_is_cut(browser: Any, finished_run: Path) -> None:
    page, _ = opened(browser, finished_run / "report" / "index.html", 700)
    page.emulate_media(media="print")
    wide = "[...document.querySelectorAll('.scroll')].filter(one => getComputedStyle(one).overflowX !== 'visible').length"
    assert page.evaluate(wide) == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    assert not page.locator("nav").is_visible()
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
