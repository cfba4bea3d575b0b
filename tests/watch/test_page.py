"""The page as its reader has it: a real Chromium, a real server, files that grow meanwhile."""

import base64
import hashlib
import re
import threading
from pathlib import Path

import pytest

from pellucid.watch.page import _FOLDER, page
from pellucid.watch.run import RunWatch
from pellucid.watch.server import PageServer

HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


def test_the_page_is_one_file_that_asks_nobody_else_and_its_policy_names_its_own_parts() -> None:
    content, policy = page()
    text = content.decode()
    style, script = (
        re.search(r"<style>(.*)</style>", text, re.S)[1],
        re.search(r'<script type="module">(.*)</script>', text, re.S)[1],
    )
    for part in (style, script):
        assert base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() in policy
    assert "innerHTML" not in script
    assert "insertAdjacentHTML" not in script
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert "</script" not in script


@pytest.fixture
def visit(browser, tmp_path):
    """Serve runs and open the page. `page.complaints` are its console's and its network's."""
    opened = []

    def visited(*names, width=1280, before=lambda server: None, **more):
        server = PageServer([RunWatch(tmp_path / name) for name in names], 0, every_s=0.0)
        before(server)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        context = browser.new_context(viewport={"width": width, "height": 800}, **more)
        opened.append((server, thread, context))
        shown = context.new_page()
        shown.set_default_timeout(20_000)
        shown.complaints = []
        shown.on("console", lambda message: shown.complaints.append(message.text))
        shown.on("pageerror", lambda error: shown.complaints.append(str(error)))
        shown.on("request", lambda asked: asked.url.startswith((server.address, "data:")) or shown.complaints.append(asked.url))
        shown.goto(server.address)
        return shown

    yield visited
    for server, thread, context in opened:
        context.close()
        server.shutdown()
        thread.join()
        server.server_close()


def tile(shown, name: str) -> str:
    return shown.locator("#tiles div", has=shown.locator("dt", has_text=re.compile(f"^{name}$"))).locator("dd").inner_text()


def picture(shown, number: int) -> bytes:
    """What a chart looks like."""
    return shown.locator("canvas").nth(number).screenshot()


def test_curves_grow_while_the_file_does(visit, training) -> None:
    written = training(steps=400).train(1, 120)
    shown = visit("run")
    shown.get_by_text("● training").wait_for()
    assert tile(shown, "Step").split() == ["120", "of", "400"]
    assert shown.locator("figure:visible figcaption").all_inner_texts()[0].startswith("Loss")
    before = picture(shown, 0)
    written.train(121, 200)
    shown.locator("#tiles dd", has_text="200").first.wait_for()
    assert picture(shown, 0) != before
    assert shown.locator("#bar").get_attribute("aria-valuenow") == "50"
    assert shown.locator("#sources li").count() == 3
    assert shown.locator("#sources li span").first.inner_text() == "books"
    assert not shown.complaints


def test_sizes_and_times_have_few_digits(browser) -> None:
    blank = browser.new_page()
    script = (_FOLDER / "format.js").read_text()
    told = blank.evaluate(f"(() => {{ {script}; return [0, 0.6000000000000001, 512, 2 ** 30].map(bytes) }})()")
    assert told == ["0 B", "0.6 B", "512 B", "1 GiB"]
    left = blank.evaluate(f"(() => {{ {script}; return [59.4, 634, 5969, 5970, 43500, 400000].map(roughly) }})()")
    assert left == ["59 s", "11 min", "99 min", "1.7 h", "12 h", "4.6 d"]
    blank.close()


def test_what_a_run_says_is_never_markup(visit, training) -> None:
    written = training("run/pretrain", steps=50)
    written.train(1, 20, loss_by_source={HOSTILE: 3.0, "web": 2.0}, figures={HOSTILE: 1.0})
    written.train(21, 22, skipped=True, reason=HOSTILE)
    written.beside("samples", {"step": 20, "prompt": HOSTILE, "text": HOSTILE})
    written.beside("curves", {"step": 20, "tasks": {HOSTILE: {"metrics": {"acc": 0.5}}}})
    shown = visit("run")
    shown.locator("#samples li").first.wait_for()
    assert HOSTILE in shown.locator("#samples li").first.inner_text()
    assert HOSTILE in shown.locator("#sources li span").all_inner_texts()
    assert HOSTILE in shown.locator("#notes").inner_text()
    assert "taken" not in shown.title()
    assert shown.locator("main img, main script").count() == 0
    assert not shown.complaints


def test_a_curve_is_looked_at_with_the_pointer_and_zoomed_by_dragging(visit, training) -> None:
    training(steps=400).train(1, 300)
    shown = visit("run")
    shown.get_by_text("● training").wait_for()
    shown.locator("#smoothing").fill("0")
    canvas = shown.locator("canvas").first
    box = canvas.bounding_box()
    shown.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    told = shown.locator("figcaption output").first
    place = int(re.match(r"at (\d+): ", told.inner_text())[1])
    assert 130 <= place <= 165
    loss = 2 + 6 * 2.718281828 ** (-place / 200)
    assert float(re.search(r": ([\d.]+)", told.inner_text())[1]) == pytest.approx(loss, abs=0.03)
    assert shown.locator("figcaption output").nth(2).inner_text().startswith(f"at {place}: ")
    shown.mouse.down()
    shown.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 60)
    shown.mouse.up()
    shown.mouse.move(box["x"] + 70, box["y"] + 60)
    assert int(re.match(r"at (\d+): ", told.inner_text())[1]) > 130
    assert shown.locator('[data-part="1"]').get_attribute("aria-pressed") == "false"
    canvas.dblclick()
    shown.mouse.move(box["x"] + 70, box["y"] + 60)
    assert int(re.match(r"at (\d+): ", told.inner_text())[1]) < 10
    assert not shown.complaints


def test_everything_can_be_done_with_the_keyboard(visit, training) -> None:
    training(steps=400).train(1, 300)
    shown = visit("run")
    shown.get_by_text("● training").wait_for()
    canvas = shown.locator("canvas").first
    canvas.focus()
    shown.keyboard.press("ArrowLeft")
    told = shown.locator("figcaption output").first
    assert told.inner_text().startswith("at 29")
    assert shown.locator("#said").inner_text().startswith("at 29")
    shown.keyboard.press("+")
    for _ in range(70):
        shown.keyboard.press("ArrowLeft")
    assert int(re.match(r"at (\d+): ", told.inner_text())[1]) > 130
    shown.keyboard.press("0")
    shown.keyboard.press("ArrowLeft")
    reached = set()
    for _ in range(60):
        shown.keyboard.press("Tab")
        reached.add(shown.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"smoothing", "log", "tokens", "theme", "CANVAS", "BUTTON"} <= reached
    assert "Loss" in canvas.get_attribute("aria-label")


def test_controls_change_what_is_drawn(visit, training) -> None:
    training(steps=400).train(1, 300)
    shown = visit("run")
    shown.get_by_text("● training").wait_for()
    box = shown.locator("canvas").first.bounding_box()
    told = shown.locator("figcaption output").first
    shown.get_by_role("button", name="Last tenth").click()
    shown.mouse.move(box["x"] + 70, box["y"] + 60)
    assert int(re.match(r"at (\d+): ", told.inner_text())[1]) >= 268
    shown.get_by_role("button", name="All", exact=True).click()
    shown.get_by_label("Over tokens").check()
    shown.mouse.move(box["x"] + box["width"] - 10, box["y"] + 60)
    assert told.inner_text().startswith("at 1.2")
    before = picture(shown, 0)
    shown.get_by_label("Log scale").check()
    assert picture(shown, 0) != before
    shown.locator("#sources button").nth(1).click()
    assert shown.locator('#sources [aria-pressed="true"]').count() == 1
    shown.get_by_role("button", name="Dark").click()
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 27)"
    assert not shown.complaints


def test_runs_are_drawn_over_each_other_and_can_be_left_out(visit, training) -> None:
    training("first/pretrain", steps=200).train(1, 200)
    training("second/pretrain", steps=200).train(1, 100, loss=5.0)
    shown = visit("first", "second")
    shown.get_by_text("● training").wait_for()
    assert shown.locator("h1").inner_text() == "2 runs"
    assert shown.locator(".legend").first.inner_text().split() == ["first", "second"]
    box = shown.locator("canvas").first.bounding_box()
    shown.mouse.move(box["x"] + box["width"] / 3, box["y"] + 60)
    told = shown.locator("figcaption output").first
    assert "second 5 (5)" in told.inner_text()
    shown.locator("#runs button", has_text="second").click()
    shown.mouse.move(box["x"] + box["width"] / 3 + 5, box["y"] + 60)
    assert "second" not in told.inner_text()
    assert not shown.complaints


@pytest.mark.parametrize("width", [320, 360, 800, 1280])
def test_nothing_sticks_out_on_a_phone_or_a_desk(visit, training, width: int) -> None:
    written = training(steps=400).train(1, 60, loss_by_source={f"a-rather-long-name-of-a-source-{n}": 3.0 for n in range(30)})
    written.beside("samples", {"step": 20, "prompt": "x" * 300, "text": "y" * 2000})
    shown = visit("run", width=width, color_scheme="dark")
    shown.get_by_text("● training").wait_for()
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    assert shown.evaluate("document.documentElement.dataset.theme") == "dark"
    assert not shown.complaints


def test_stages_are_chosen_and_a_run_that_has_not_begun_is_waited_for(visit, training, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    shown = visit("run")
    shown.get_by_text("● waiting for the run to begin").wait_for()
    training("run/pretrain", steps=30).train(1, 30)
    training("run/sft", steps=70).train(1, 7)
    shown.locator("#tiles dd", has_text="of 70").wait_for()
    shown.get_by_role("button", name="pretrain").click()
    shown.locator("#tiles dd", has_text="of 30").wait_for()
    assert shown.locator('#stages [aria-current="true"]').inner_text().startswith("pretrain")
    assert not shown.complaints


def test_with_several_runs_what_is_of_one_names_it(visit, training) -> None:
    first = training("first/pretrain", steps=200).train(1, 200)
    second = training("second/pretrain", steps=200).train(1, 100, loss=5.0)
    for written, text in ((first, "of the first"), (second, "of the second")):
        written.beside("samples", {"step": 20, "prompt": "Say", "text": text})
    shown = visit("first", "second")
    shown.get_by_text("first, pretrain:", exact=True).wait_for()
    titles = shown.locator("h2")
    assert titles.all_inner_texts() == ["Loss by source of first", "Newest samples of first"]
    assert shown.locator("figcaption output").first.inner_text().startswith("first: last step ")
    shown.locator("#runs button", has_text="first").click()
    shown.get_by_text("second, pretrain:", exact=True).wait_for()
    assert titles.all_inner_texts() == ["Loss by source of second", "Newest samples of second"]
    assert "of the second" in shown.locator("#samples li").first.inner_text()
    assert tile(shown, "Step").split()[0] == "100"
    assert shown.locator("figcaption output").first.inner_text().startswith("second: last step ")
    assert not shown.complaints


def test_one_run_needs_no_name_beside_its_figures(visit, training) -> None:
    training(steps=90).train(1, 40).beside("samples", {"step": 20, "prompt": "Say", "text": "it"})
    shown = visit("run")
    shown.get_by_text("● training").wait_for()
    assert shown.locator("#whose").inner_text() == ""
    assert shown.locator("h2").all_inner_texts() == ["Loss by source", "Newest samples"]


def test_why_there_is_no_answer_is_on_the_page(visit, training, tmp_path: Path) -> None:
    training(steps=90).train(1, 40)
    shown = visit("run", before=lambda server: setattr(server.feed, "runs", broken))
    shown.get_by_text("● this run's files cannot be shown: KeyError: 'tasks'").wait_for()


def broken() -> None:
    raise KeyError("tasks")
