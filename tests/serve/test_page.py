"""The chat page as its reader has it: a real Chromium, a real server, real (tiny) models."""

import dataclasses
import itertools
import json
import operator
import random
import re
import time
from pathlib import Path

import httpx
import pytest
import torch

from pellucid.export.parity import probe_texts
from pellucid.generate.torch_engine import TorchEngine
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.serve.model import ServedModel
from pellucid.tokenizer.chat import load_chat_format
from pellucid.tokenizer.training import train_bpe

SHAPE = {
    "vocab_tokens": 608, "context_tokens": 8192, "layers": 2, "hidden": 64, "heads": 4, "kv_heads": 2, "mlp_hidden": 96,
    "norm": "rmsnorm", "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False, "tied_head": False, "init_std": 0.1,
}  # fmt: skip
KEY = "a-key-of-twenty-characters"
QUESTION = "Say it."
HOSTILE = (
    "Ünsafe 😀: <script>document.title='taken'</script>\n<img src=x onerror=\"document.title='taken'\"> "
    "<a href=\"javascript:document.title='taken'\">here</a> <b>bold</b> &lt; end"
)


@pytest.fixture(scope="module")
def vocabulary():
    return train_bpe(probe_texts() * 2, 600)


@pytest.fixture(scope="module")
def chat(vocabulary, tmp_path_factory):
    return load_chat_format("zephyr", vocabulary, base=tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="module")
def endless(vocabulary, chat):
    """A model with random weights that never ends its answer by itself when its likeliest token is taken.

    It takes its time, so that 8 000 tokens are not there before a test on a busy machine has looked at the first.
    """
    torch.manual_seed(0)
    model = Decoder(ModelConfig(**SHAPE))
    init_weights(model, 5)
    model.register_forward_pre_hook(lambda *_: time.sleep(0.003))
    with torch.no_grad():
        model.head.weight[vocabulary.eos_id] = 0
    engine = TorchEngine(model, slots=1)
    yield ServedModel("endless", engine, vocabulary, chat, vocabulary.eos_id, begins_texts=False, created=1)
    engine.close()


@pytest.fixture(scope="module")
def taught(vocabulary, chat):
    """A model that has learnt one answer by heart, and the answer is markup that would take over a careless page."""
    torch.manual_seed(0)
    model = Decoder(ModelConfig(**SHAPE))
    init_weights(model, 5)
    prompt = list(chat.prompt([{"role": "user", "content": QUESTION}]))
    ids = torch.tensor([[*prompt, *vocabulary.encode(HOSTILE), vocabulary.eos_id]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(120):
        logits = model.logits(model(ids[:, :-1]))[0, len(prompt) - 1 :]
        loss = torch.nn.functional.cross_entropy(logits, ids[0, len(prompt) :])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    engine = TorchEngine(model, slots=2)
    yield ServedModel("taught", engine, vocabulary, chat, vocabulary.eos_id, begins_texts=False, created=1)
    engine.close()


@pytest.fixture
def visit(browser):
    """Open a page in a browser that has seen nothing yet. `page.complaints` are its console's and its network's."""
    contexts = []

    def visited(url, width=1280, **more):
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, **more))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: request.url.startswith((url, "blob:")) or page.complaints.append(request.url))
        page.goto(url)
        return page

    yield visited
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def taught_url(start, taught):
    return start(taught).url


@pytest.fixture(scope="module")
def endless_url(start, endless):
    # Who comes right after an answer that was stopped waits for its slot.
    return start(endless).url


def settle(page, **values):
    """Choose settings, by the labels that the reader sees."""
    page.get_by_role("button", name="Settings").click()
    for label, value in values.items():
        page.get_by_label(label.replace("_", " ")).fill(str(value))
    page.get_by_role("button", name="Done").click()


def say(page, text):
    page.get_by_label("Message", exact=True).fill(text)
    if page.evaluate("matchMedia('(pointer: coarse)').matches"):
        page.get_by_role("button", name="Send").tap()
    else:
        page.keyboard.press("Enter")


def answered(page, number=0):
    """Wait until an answer is whole; return its text."""
    page.locator("#send").wait_for()
    return page.locator(".assistant .text").nth(number).text_content()


def hostile_answer(page):
    settle(page, Temperature=0)
    say(page, QUESTION)
    return answered(page)


def kept(page):
    """What the browser keeps."""
    return page.evaluate("Object.entries(localStorage).filter(([k]) => k.includes('conversation')).map(([, v]) => JSON.parse(v))")


def test_an_answer_is_shown_as_the_text_it_is_and_runs_nothing(visit, taught_url):
    page = visit(taught_url)
    assert hostile_answer(page) == HOSTILE
    assert page.title() == f"{QUESTION} · Pellucid chat"
    assert page.locator(".message :is(script, img, a, b)").count() == 0
    page.reload()
    page.locator("#list .open").click()
    assert page.locator(".assistant .text").text_content() == HOSTILE
    assert page.locator(".message :is(script, img, a, b)").count() == 0 and page.title() == f"{QUESTION} · Pellucid chat"
    assert page.complaints == []


def test_the_policy_lets_no_script_run_that_the_server_does_not_have(visit, taught_url):
    page = visit(taught_url)
    page.evaluate("document.body.insertAdjacentHTML('beforeend', `<img src=x onerror=\"document.title='taken'\">`)")
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: \"document.title='taken'\"}))")
    page.wait_for_timeout(200)
    assert page.title() != "taken" and any("Content Security Policy" in one for one in page.complaints)


def test_every_file_of_the_page_has_its_type_and_is_asked_for_anew(taught_url):
    with httpx.Client(base_url=taught_url, trust_env=False) as http:
        html = http.get("/")
        names = re.findall(r'(?:src|href)="([a-z.]+)"', html.text)
        assert {"chat.js", "chat.css", "theme.js", "icon.svg"} <= set(names)
        for name in (
            "",
            *names,
            "api.js",
            "store.js",
            "tokens.js",
            "tip.js",
            "view.js",
            "notice.js",
            "settings.js",
            "training.js",
            "transfer.js",
            "pane.js",
            "receiving.js",
        ):
            headers = http.get(f"/{name}").raise_for_status().headers
            expected = {"": "html", "js": "javascript", "css": "css", "svg": "svg"}[name.rpartition(".")[2]]
            assert expected in headers["content-type"] and headers["cache-control"] == "no-cache"
            assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
            assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        seen = {"If-None-Match": html.headers["etag"]}
        assert http.get("/", headers=seen).status_code == 304 and http.get("/chat.js", headers=seen).status_code == 200
        assert http.get("/../app.py").status_code == http.get("/%2e%2e/app.py").status_code == 404


def test_a_tokens_probabilities_are_those_that_the_server_tells(visit, taught_url):
    page = visit(taught_url)
    hostile_answer(page)
    body = {"messages": [{"role": "user", "content": QUESTION}], "temperature": 0, "logprobs": True, "top_logprobs": 5}
    with httpx.Client(base_url=taught_url, trust_env=False, timeout=60) as http:
        told = http.post("/v1/chat/completions", json=body).json()["choices"][0]["logprobs"]["content"]
    (message,) = [one for one in kept(page)[0]["messages"] if one["role"] == "assistant"]
    whole = [segment for segment in message["segments"] if segment[3] == 1]
    by_text = {one["token"]: one for one in told}
    assert "".join(segment[0] for segment in message["segments"]) == HOSTILE
    assert len(whole) > 30 and message["tokens"] == len(told)
    last = told[-1]
    assert whole[-1][0] == last["token"] and whole[-1][1] == pytest.approx(last["logprob"], abs=1e-4)
    assert all(segment[0] in by_text for segment in whole)
    emoji = next(segment for segment in message["segments"] if "😀" in segment[0])
    assert emoji[3] > 1, "a character of several tokens is one segment"
    page.locator(".token").last.hover()
    drawn = page.locator("#tip .row.drawn")
    assert drawn.locator(".name").text_content() == last["token"].replace(" ", "␣")
    assert page.locator("#tip .row").count() == 5 and drawn.locator(".share").text_content().endswith("%")
    page.locator("#title").hover()
    assert page.locator("#tip").is_hidden()


def test_the_keyboard_reads_tokens_and_their_probabilities(visit, taught_url):
    page = visit(taught_url)
    hostile_answer(page)
    page.locator(".assistant .text").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.locator(".looked-at").count() == 1 and page.locator("#tip").is_visible()
    third = page.locator(".token").nth(2).text_content()
    assert page.locator(".looked-at").text_content() == third
    assert "%" in page.locator("#said").text_content()
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_an_answer_is_shown_once_a_frame_and_whole_at_its_end(visit, endless_url):
    page = visit(endless_url)
    settle(page, Temperature=0, Most_new_tokens=60)
    page.evaluate(
        """() => {
          const native = requestAnimationFrame.bind(window);  // the test's own looks need it
          requestAnimationFrame = (call) => {
            if (call.name !== "show") return native(call);
            Object.assign(window, { show: call, asked: 1 + (window.asked ?? 0) });
            return 1;
          };
        }"""
    )
    say(page, "Go on")
    text = answered(page)
    count = page.locator(".assistant .token").count()
    assert text and count and page.evaluate("window.asked") == 1  # for all pieces together, since none came
    page.evaluate("show()")
    assert page.locator(".assistant .token").count() == count and page.locator(".assistant .text").text_content() == text
    assert kept(page)[0]["messages"][1]["content"] == text


@pytest.mark.parametrize("way", ["Escape", "button"])
def test_an_answer_can_be_stopped_and_gives_its_slot_back(visit, endless, endless_url, way):
    page = visit(endless_url)
    settle(page, Temperature=0, Most_new_tokens=8000)
    before = endless.engine.stats().cancelled
    say(page, "Go on")
    page.locator(".assistant .token").nth(3).wait_for()
    if way == "Escape":
        page.keyboard.press("Escape")
    else:
        page.get_by_role("button", name="Stop").click()
    text = answered(page)
    assert text and "stopped by you" in page.locator(".assistant .facts").text_content()
    page.wait_for_timeout(300)
    assert page.locator(".assistant .text").text_content() == text
    stats = endless.engine.stats()
    assert stats.cancelled == before + 1 and stats.running == 0
    assert page.complaints == []


def test_enter_sends_and_shift_enter_begins_a_line(visit, endless_url):
    page = visit(endless_url)
    settle(page, Temperature=0, Most_new_tokens=5)
    page.keyboard.press("Control+A")
    page.get_by_label("Message", exact=True).focus()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    assert page.locator(".message").count() == 0
    page.keyboard.press("Enter")
    answered(page)
    assert page.locator(".user .text").text_content() == "one\ntwo"
    assert "ended at the limit of 5 new tokens" in page.locator(".facts").last.text_content()


def test_settings_reach_the_server(visit, endless_url):
    page = visit(endless_url)
    settle(page, System_prompt="Be brief.", Temperature=0.25, Top_p=0.5, Most_new_tokens=3, Seed=7)
    with page.expect_request("**/v1/chat/completions") as asked:
        say(page, "Hello")
    sent = json.loads(asked.value.post_data)
    assert sent["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"], sent["seed"]) == (0.25, 0.5, 3, 7)
    answered(page)
    page.get_by_role("button", name="New conversation").click()
    page.get_by_role("button", name="Settings").click()
    assert page.get_by_label("System prompt").input_value() == "Be brief.", "new conversations begin as the last one"


def test_an_edited_message_is_answered_anew_and_what_it_replaced_can_be_had_back(visit, endless_url):
    page = visit(endless_url)
    settle(page, Temperature=0, Most_new_tokens=4)
    for number, text in enumerate(("First", "Second")):
        say(page, text)
        answered(page, number)
    before = page.locator(".message .text").all_text_contents()
    page.locator(".user").first.get_by_role("button", name="Edit").click()
    field = page.get_by_label("Edit your message")
    assert field.input_value() == "First"
    field.fill("Changed")
    page.get_by_role("button", name="Save and send").click()
    page.get_by_text("3 later messages were replaced.").wait_for()
    assert page.locator(".user .text").all_text_contents() == ["Changed"] and page.locator(".assistant").count() == 1
    page.get_by_role("button", name="Undo").click()
    assert page.locator(".message .text").all_text_contents() == before
    assert [message["content"] for message in kept(page)[0]["messages"]] == before


def test_retry_asks_again_for_the_same_and_an_edited_answer_goes_into_what_is_asked_next(visit, endless_url):
    page = visit(endless_url)
    settle(page, Temperature=0, Most_new_tokens=4)
    say(page, "First")
    first = answered(page)
    with page.expect_request("**/v1/chat/completions") as asked:
        page.locator(".assistant").get_by_role("button", name="Retry").click()
    assert json.loads(asked.value.post_data)["messages"] == [{"role": "user", "content": "First"}]
    assert answered(page) == first and page.locator(".message").count() == 2
    page.locator(".assistant").get_by_role("button", name="Edit").click()
    page.get_by_label("Edit this answer").fill("Mine")
    page.get_by_role("button", name="Save", exact=True).click()
    with page.expect_request("**/v1/chat/completions") as asked:
        say(page, "Second")
    sent = json.loads(asked.value.post_data)["messages"]
    assert [message["content"] for message in sent] == ["First", "Mine", "Second"]
    answered(page, 1)


def test_conversations_are_kept_exported_and_deleted(visit, endless_url):
    page = visit(endless_url)
    settle(page, Temperature=0, Most_new_tokens=3)
    say(page, "The first talk")
    answered(page)
    page.get_by_role("button", name="New conversation").click()
    assert page.locator(".message").count() == 0
    say(page, "The second talk")
    answered(page)
    page.reload()
    assert page.locator("#list .open").all_text_contents() == ["The second talk", "The first talk"]
    page.get_by_role("button", name="The first talk", exact=True).click()
    assert page.locator(".user .text").text_content() == "The first talk"
    with page.expect_download() as coming:
        page.get_by_role("button", name="Export all").click()
    exported = json.loads(Path(coming.value.path()).read_text(encoding="utf-8"))
    assert [one["messages"][0]["content"] for one in exported] == ["The second talk", "The first talk"]
    page.get_by_role("button", name="Delete “The first talk”").click()
    assert page.locator("#list .open").all_text_contents() == ["The second talk"] and len(kept(page)) == 1
    page.get_by_role("button", name="Undo").click()
    assert sorted(page.locator("#list .open").all_text_contents()) == ["The first talk", "The second talk"]
    page.get_by_role("button", name="Delete all").click()
    assert kept(page) == [] and page.locator("#list li").count() == 0


def test_the_key_is_asked_for_and_forgotten_with_the_tab(visit, start, taught):
    page = visit(start(taught, key=KEY).url)
    page.get_by_label("Key", exact=True).fill("wrong")
    page.get_by_role("button", name="Use this key").click()
    page.get_by_text("The server does not take this key.").wait_for()
    page.get_by_label("Key", exact=True).fill(KEY)
    page.get_by_role("button", name="Use this key").click()
    page.get_by_text("taught · 8192 tokens of context").wait_for()
    assert hostile_answer(page) == HOSTILE
    page.reload()
    page.get_by_text("taught · 8192 tokens of context").wait_for()
    assert KEY not in page.evaluate("JSON.stringify({...localStorage})")
    assert "401" in page.complaints[0] and len(page.complaints) == 2


DISABLED = """() => {
  const note = () => { if (document.querySelector("#notice-action").disabled) window.wasDisabled = true; };
  const watched = { attributes: true, characterData: true, childList: true, subtree: true };
  new MutationObserver(note).observe(document.querySelector("#notice"), watched);
}"""


def test_a_busy_server_is_waited_for_and_asked_again(visit, start, endless):
    url = start(endless, max_waiting=0).url
    page = visit(url)
    settle(page, Temperature=0, Most_new_tokens=3)
    body = {"messages": [{"role": "user", "content": "a"}], "temperature": 0, "stream": True, "max_tokens": 8000}
    with (
        httpx.Client(base_url=url, trust_env=False, timeout=60) as http,
        http.stream("POST", "/v1/chat/completions", json=body) as other,
    ):
        lines = other.iter_lines()
        next(lines)
        page.evaluate(DISABLED)  # the button is there for a second only before it can be pressed
        say(page, "Hello")
        page.get_by_text("The server is busy. Try again in about").wait_for()
        assert page.evaluate("window.wasDisabled") and page.locator(".assistant").count() == 0
    page.locator("#notice-action:enabled").click()
    page.locator(".assistant .token").first.wait_for()
    assert answered(page) and page.locator("#notice").is_hidden() and page.locator(".user").count() == 1


def test_too_long_a_prompt_is_explained(visit, endless_url):
    page = visit(endless_url)
    settle(page, Most_new_tokens=9000)
    say(page, "Hello")
    page.get_by_text("This is longer than the model can read. Begin a new conversation").wait_for()
    assert page.locator(".message").count() == 1 and page.get_by_role("button", name="Try again").is_enabled()


def test_a_server_that_has_gone_is_named_and_what_was_said_is_kept(visit, start, endless):
    engine = TorchEngine(endless.engine._model, slots=1)
    one = start(ServedModel("gone", engine, endless.tokenizer, endless.chat, 0, begins_texts=False, created=1))
    page = visit(one.url)
    page.get_by_text("gone · 8192").wait_for()
    one.stop()
    say(page, "Are you there?")
    page.get_by_text("The server does not answer.").wait_for()
    assert kept(page)[0]["messages"] == [{"role": "user", "content": "Are you there?"}]


def test_an_edit_that_gets_no_answer_changes_nothing(visit, start, endless):
    engine = TorchEngine(endless.engine._model, slots=1)
    one = start(ServedModel("gone", engine, endless.tokenizer, endless.chat, 0, begins_texts=False, created=1))
    page = visit(one.url)
    settle(page, Temperature=0, Most_new_tokens=4)
    for number, text in enumerate(("First", "Second")):
        say(page, text)
        answered(page, number)
    before = page.locator(".message .text").all_text_contents()
    one.stop()
    page.locator(".user").first.get_by_role("button", name="Edit").click()
    page.get_by_label("Edit your message").fill("Changed")
    page.keyboard.press("Enter")
    page.get_by_text("The server does not answer.").wait_for()
    assert page.locator(".message .text").all_text_contents() == before
    assert [message["content"] for message in kept(page)[0]["messages"]] == before


def test_an_answer_that_is_given_up_midway_is_kept_as_far_as_it_came(visit, start, endless):
    engine = TorchEngine(endless.engine._model, slots=1)
    model = ServedModel("slow", engine, endless.tokenizer, endless.chat, endless.first_id, begins_texts=False, created=1)
    page = visit(start(model, deadline_s=1.5).url)
    settle(page, Temperature=0, Most_new_tokens=8000)
    say(page, "Hello")
    page.get_by_text("The answer took too long and was given up.").wait_for()
    assert answered(page) == kept(page)[0]["messages"][1]["content"] != ""
    assert "broken off" in page.locator(".assistant .facts").text_content()


def test_segments_joined_are_the_text_whatever_the_tokens_are(visit, taught_url):
    """Characters cut anywhere, special tokens without a text, texts that come late or are cut off by a stop text."""
    draw = random.Random(0)
    alphabet = ["a", " the", "é", "😀", "\n", "\ufeff", "語", "\xa0"]
    cases, texts = [], []
    for _ in range(300):
        text = "".join(draw.choices(alphabet, k=draw.randint(1, 12)))
        data, pieces, sent, tokens = text.encode(), [], 0, []
        while data:
            size = draw.randint(1, 5)
            tokens.append(list(data[:size]))
            data = data[size:]
            if draw.random() < 0.1:
                tokens.append(list(b"<|special|>"))
        held = draw.randint(0, 3)
        shown = text[: len(text) - held]
        while tokens:
            count = draw.randint(1, 3)
            upto = len(shown) if len(tokens) <= count else draw.randint(sent, len(shown))
            pieces.append({"text": shown[sent:upto], "tokens": tokens[:count]})
            tokens, sent = tokens[count:], upto
        cases.append(pieces)
        texts.append(shown)
    found = visit(taught_url).evaluate(
        """async (cases) => {
          const { Segments } = await import("/tokens.js");
          return cases.map((pieces) => {
            const segments = new Segments();
            const tokens = (one) => one.tokens.map((bytes) => ({ bytes: Uint8Array.from(bytes), logprob: -1, top: [] }));
            const found = pieces.flatMap((one) => segments.add(one.text, tokens(one)));
            return [...found, ...segments.end()].map((one) => one[0]).join("");
          });
        }""",
        cases,
    )
    assert found == texts


BEGIN = HOSTILE.partition("\n")[0]
HELD = {
    "web <b>one": [f"Before it: {BEGIN}, and after it the page goes on.", f"Elsewhere {BEGIN} once more."],
    "lists": [HOSTILE[-40:], "Nothing of it."],
}


@pytest.fixture(scope="module")
def traced_url(start, taught, vocabulary, make_origins, tmp_path_factory):
    """The model that has learnt an answer by heart, served out of a run whose shards hold parts of that answer."""
    origins = make_origins(HELD, vocabulary, tmp_path_factory.mktemp("traced") / "traced-run")
    engine = TorchEngine(taught.engine._model, slots=1)
    return start(dataclasses.replace(taught, engine=engine, origins=origins)).url


def looked_up(page):
    page.get_by_role("button", name="In the training data").click()
    page.locator(".matches ol li").first.wait_for()
    return page.locator(".matches ol > li")


def test_words_that_stand_in_the_training_data_are_marked_and_listed_with_their_documents(visit, traced_url):
    page = visit(traced_url)
    hostile_answer(page)
    with page.expect_response("**/v1/training_matches") as coming:
        found = looked_up(page)
    told = coming.value.json()
    assert found.count() == len(told["runs"]) >= 2
    assert BEGIN[1:-2] in told["runs"][0]["text"] and told["runs"][-1]["text"].endswith("end")
    for number, run in enumerate(told["runs"]):
        opener = found.nth(number).get_by_role("button")
        opener.hover()
        marked = "".join(page.locator(".assistant .text .pointed-at").all_text_contents())
        assert run["text"] in marked and len(marked) < len(run["text"]) + 8
        assert f"{run['documents']} document" in opener.text_content()
    first = found.nth(0)
    assert first.locator("blockquote").first.is_hidden()
    first.get_by_role("button").click()
    quote = first.locator("blockquote").first
    assert quote.is_visible() and quote.locator("mark").text_content() == told["runs"][0]["text"]
    assert quote.text_content().rstrip("…") in HELD["web <b>one"][0]
    assert "web <b>one" in first.locator("figcaption").first.text_content() and first.locator("figure").count() == 2
    assert ": 4 documents, " in page.locator(".matches > p").text_content()
    # What documents say is a text as well, whatever is in it.
    assert page.locator(".message :is(script, img, a, b)").count() == 0 and page.title() == f"{QUESTION} · Pellucid chat"
    # Tokens still tell their probabilities.
    page.locator(".assistant .token.found").nth(2).hover()
    page.locator("#tip .drawn").wait_for()
    page.get_by_role("button", name="In the training data").click()
    assert page.locator(".matches").count() == page.locator(".found").count() == 0
    assert page.complaints == []


def test_the_keyboard_reaches_what_was_found_and_an_edited_answer_is_looked_up_as_it_stands(visit, traced_url):
    page = visit(traced_url)
    hostile_answer(page)
    page.locator(".assistant").get_by_role("button", name="Edit").click()
    edited = f"😀😀 mine, {BEGIN} and mine"
    page.get_by_label("Edit this answer").fill(edited)
    page.get_by_role("button", name="Save", exact=True).click()
    asking = page.get_by_role("button", name="In the training data")
    asking.focus()
    page.keyboard.press("Enter")
    page.locator(".matches li").first.wait_for()
    assert asking.get_attribute("aria-expanded") == "true"
    marked = "".join(page.locator(".assistant .text .found").all_text_contents())
    assert marked in edited and BEGIN[2:-2] in marked and "mine" not in marked
    assert page.locator(".assistant .text").text_content() == edited
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.matches') !== null"):
            break
    page.keyboard.press("Enter")
    assert page.locator(".matches blockquote").first.is_visible() and page.locator(".pointed-at").count() > 0
    assert page.complaints == []


def test_what_was_found_fits_a_phone(visit, traced_url):
    page = visit(traced_url, width=390, has_touch=True, is_mobile=True)
    hostile_answer(page)
    looked_up(page).first.get_by_role("button").tap()
    page.locator(".matches blockquote").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for box in (one.bounding_box() for one in page.locator(".matches, .matches blockquote:visible").all()):
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390


def test_an_answer_of_which_nothing_was_read_says_so_and_a_model_without_a_run_offers_nothing(visit, traced_url, taught_url):
    page = visit(traced_url)
    settle(page, Temperature=0, Most_new_tokens=4)
    say(page, QUESTION)
    answered(page)
    page.get_by_role("button", name="In the training data").click()
    page.locator(".matches > p", has_text="No 8 tokens in a row of this answer stand in the training data of ").wait_for()
    assert page.locator("#said").text_content() == page.locator(".matches > p").text_content(), "screen readers are told"
    page = visit(taught_url)
    hostile_answer(page)
    assert page.get_by_role("button", name="Retry").count() > 0
    assert page.get_by_role("button", name="In the training data").count() == 0


def test_an_index_in_the_making_is_waited_for(visit, traced_url):
    page = visit(traced_url)
    hostile_answer(page)
    error = {"message": "the index of the training data is being made, once for this run (34 %)", "code": "index_in_the_making"}
    told = {"status": 503, "headers": {"Retry-After": "1"}, "json": {"error": error}}
    page.route("**/v1/training_matches", lambda route: route.fulfill(**told), times=1)
    page.get_by_role("button", name="In the training data").click()
    page.get_by_text("is being made, once for this run (34 %)").wait_for()
    page.locator(".matches li").first.wait_for()
    error |= {"message": "another look-up runs", "code": "lookup_running"}
    page.route("**/v1/training_matches", lambda route: route.fulfill(**told | {"status": 429}), times=1)
    page.get_by_role("button", name="In the training data").click()
    page.get_by_role("button", name="In the training data").click()
    page.get_by_text("Another answer is being looked up.").wait_for()
    page.locator("#notice-action:enabled").click()
    page.locator(".matches li").first.wait_for()


def take_in(page, content, name="talks.json"):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    page.locator("#import-file").set_input_files({"name": name, "mimeType": "application/json", "buffer": data})
    page.locator("#notice").wait_for()
    return page.locator("#notice-text").text_content()


def test_exported_conversations_come_back_whole_in_another_browser(visit, endless_url):
    page = visit(endless_url)
    settle(page, Temperature=0, Most_new_tokens=3, Seed=9)
    for text in ("The first talk", "The second talk"):
        say(page, text)
        answered(page)
        page.get_by_role("button", name="New conversation").click()
    with page.expect_download() as coming:
        page.get_by_role("button", name="Export all").click()
    written = Path(coming.value.path()).read_bytes()
    other = visit(endless_url)
    with other.expect_file_chooser() as chooser:
        other.get_by_role("button", name="Import…").click()
    assert not chooser.value.is_multiple()
    assert take_in(other, written) == "2 conversations are added."
    by_id = operator.itemgetter("id")
    assert sorted(kept(other), key=by_id) == sorted(kept(page), key=by_id)
    assert other.locator("#list .open").all_text_contents() == ["The second talk", "The first talk"]
    other.locator(".assistant .token").first.hover()
    other.locator("#tip .drawn").wait_for()
    assert take_in(other, written) == "0 conversations are added; 2 were here already."
    changed = json.loads(written)[0]
    changed["messages"][0]["content"] = "Another talk of the same name"
    assert take_in(other, changed) == "1 conversation is added."
    assert len(kept(other)) == 3, "one conversation alone is read as well, and replaces none"
    assert other.complaints == page.complaints == []


GOOD = {"version": 1, "id": "ab", "changed": 1, "settings": {}, "messages": [{"role": "user", "content": "Hello"}]}
TALK = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "<b>yes</b>"}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfenot json", "it is not JSON."),
        (b"", "it is not JSON."),
        ([], "it holds no conversations."),
        ("a text", "it is no conversation of this page."),
        ([GOOD, None], "conversation 2 is no conversation of this page."),
        (GOOD | {"messages": []}, "it is no conversation of this page."),
        (GOOD | {"version": 2}, "it is of version 2; this page reads version 1."),
        (GOOD | {"messages": [{"role": "system", "content": "x"}]}, "message 1 of it has no text, or nobody who says it."),
        ([GOOD, GOOD | {"messages": [*TALK, {"role": "user"}]}], "message 3 of conversation 2 has no text, or nobody who says it."),
    ],
)
def test_a_file_that_is_not_one_of_this_pages_is_refused_calmly_and_changes_nothing(visit, endless_url, content, said):
    page = visit(endless_url)
    page.get_by_text("endless · ").wait_for()
    assert take_in(page, content) == f"talks.json was not taken in: {said} Nothing has changed."
    assert kept(page) == [] and page.complaints == []


def test_only_what_this_page_knows_is_taken_out_of_a_file(visit, endless_url):
    page = visit(endless_url)
    page.get_by_text("endless · ").wait_for()
    odd = {"system": 5, "temperature": 99, "top_p": "1", "max_tokens": -1, "seed": 1.5, "__proto__": {"x": 1}}
    answer = {"role": "assistant", "content": "<b>yes</b>", "segments": [["no", "high", [], 1]], "tokens": 3, "html": "<b>"}
    wild = GOOD | {"id": "../x", "changed": "soon", "settings": odd, "messages": [TALK[0], answer], "other": 1}
    assert take_in(page, wild) == "1 conversation is added."
    (one,) = kept(page)
    assert re.fullmatch("[0-9a-f]{24}", one.pop("id")) and one.pop("changed") > 1e12
    settings = {"system": "", "temperature": 0.7, "top_p": 1, "max_tokens": 256, "seed": None}
    assert one == {"version": 1, "settings": settings, "messages": TALK}
    assert page.locator(".assistant .text").text_content() == "<b>yes</b>" and page.locator(".message b").count() == 0
    page.get_by_role("button", name="Settings").click()
    assert page.get_by_label("Temperature").input_value() == "0.7" and page.complaints == []


def talk(name, *texts, segments=None):
    """A conversation as the page keeps it."""
    messages = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)]
    if segments:
        messages[1] |= {"segments": segments, "tokens": len(segments), "seconds": 1}
    settings = {"system": "", "temperature": 0, "top_p": 1, "max_tokens": 4, "seed": None}
    return {"version": 1, "id": name, "changed": 1, "settings": settings, "messages": messages}


def put(page, *talks):
    """Let the browser have kept conversations before the page is opened."""
    for one in talks:
        page.evaluate("([k, v]) => localStorage.setItem('pellucid.conversation.' + k, v)", [one["id"], json.dumps(one)])
    page.reload()
    page.get_by_text("tokens of context").wait_for()


def texts_kept(page, name):
    return page.evaluate(f"JSON.parse(localStorage['pellucid.conversation.{name}']).messages.map((one) => one.content)")


def shown(page):
    return page.locator(".message .text").all_text_contents()


def pick(page, title):
    page.locator("#list .open", has_text=title).click()


FILL = """(left) => {
  let text = "";
  for (let step = 1 << 23; step; step >>= 1) {
    try { localStorage.setItem("filler", text + "x".repeat(step)); text += "x".repeat(step); } catch {}
  }
  localStorage.setItem("filler", text.slice(left));
}"""


def test_what_did_not_fit_into_full_storage_is_shown_until_the_page_is_closed(visit, endless_url):
    page = visit(endless_url)
    put(page, talk("aa", "One", "First"), talk("bb", "Two", "Second"))
    page.evaluate(FILL, 40)
    pick(page, "One")
    page.locator(".assistant").get_by_role("button", name="Edit").click()
    page.get_by_label("Edit this answer").fill("long " * 100)
    page.get_by_role("button", name="Save", exact=True).click()
    pick(page, "Two")
    pick(page, "One")
    assert shown(page) == ["One", "long " * 100] and texts_kept(page, "aa") == ["One", "First"]
    say(page, "More")
    answered(page, 1)
    page.get_by_text("This browser does not keep the conversation").wait_for()
    page.evaluate("localStorage.removeItem('filler')")
    say(page, "And more")
    answered(page, 2)
    assert page.locator("#notice").is_hidden() and texts_kept(page, "aa") == shown(page)


def test_an_import_that_does_not_fit_says_so_and_gives_up_probabilities_first(visit, endless_url):
    page = visit(endless_url)
    put(page, talk("aa", "One", "w" * 90, segments=[["w", -1, [["w", -1], ["x", -2]], 1]] * 90))
    page.evaluate(FILL, 20)
    assert take_in(page, talk("bb", "Two", "y" * 200)) == "1 conversation is added."
    assert texts_kept(page, "aa") == ["One", "w" * 90] and texts_kept(page, "bb") == ["Two", "y" * 200]
    page.evaluate(FILL, 500)
    added = [talk(name, name * 2, "z" * 150) for name in ("c1", "c2", "c3")]
    left = "the browser's storage is full or closed, so 2 of them will be gone with this page"
    assert take_in(page, added) == f"3 conversations are added; {left}."
    assert page.locator("#list li").count() == 5 and len(kept(page)) == 3


def test_an_earlier_export_is_added_once_beside_the_talk_that_went_on(visit, endless_url):
    page = visit(endless_url)
    put(page, talk("aa", "One", "First", "Two", "Second"))
    assert take_in(page, talk("aa", "One", "First")) == "1 conversation is added."
    for _ in range(2):
        assert take_in(page, talk("aa", "One", "First")) == "0 conversations are added; 1 was here already."
    assert len(kept(page)) == 2


def test_the_list_opens_a_conversation_as_it_is_now(visit, endless_url):
    page = visit(endless_url)
    put(page, talk("aa", "One", "First"))
    pick(page, "One")
    for text in ("Mine", "Mine again"):
        page.locator(".assistant").get_by_role("button", name="Edit").click()
        page.get_by_label("Edit this answer").fill(text)
        page.get_by_role("button", name="Save", exact=True).click()
        if text == "Mine":
            pick(page, "One")
        else:
            page.get_by_role("button", name="Delete “One”").click()
            page.get_by_role("button", name="Undo").click()
        assert shown(page) == texts_kept(page, "aa") == ["One", text]
    settle(page, Temperature=1.5)
    pick(page, "One")
    page.get_by_role("button", name="Settings").click()
    assert page.get_by_label("Temperature").input_value() == "1.5"


@pytest.mark.parametrize("way", ["Retry", "Edit"])
def test_what_a_new_answer_will_replace_is_kept_until_there_is_one(visit, endless_url, way):
    page = visit(endless_url)
    texts = ["One", "First", "Two", "Second"]
    put(page, talk("aa", *texts))
    pick(page, "One")
    page.route("**/v1/chat/completions", lambda route: None)
    page.locator(".user").first.get_by_role("button", name=way).click()
    if way == "Edit":
        page.get_by_label("Edit your message").fill("Changed")
        page.keyboard.press("Enter")
    page.locator(".running").wait_for()
    settle(page, Temperature=1)
    assert texts_kept(page, "aa") == texts
    page.reload()
    page.unroute_all(behavior="ignoreErrors")
    assert texts_kept(page, "aa") == texts
    pick(page, "One")
    assert shown(page) == texts


def test_an_answer_is_kept_as_broken_off_only_if_it_has_text_when_the_page_is_left(visit, endless_url):
    page = visit(endless_url)
    settle(page, Temperature=0, Most_new_tokens=8000)
    page.route("**/v1/chat/completions", lambda route: None)
    say(page, "Hello")
    page.locator(".running").wait_for()
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")  # perhaps for good, perhaps to come back
    assert [one["content"] for one in kept(page)[0]["messages"]] == ["Hello"]
    page.reload()
    page.unroute_all(behavior="ignoreErrors")
    pick(page, "Hello")
    page.locator(".user").get_by_role("button", name="Retry").click()
    page.locator(".assistant .token").nth(3).wait_for()
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
    (_, answer) = kept(page)[0]["messages"]
    assert answer["content"] and answer["end"] == "broken"
    page.get_by_role("button", name="Stop").click()
    answered(page)
    assert kept(page)[0]["messages"][1]["end"] == "stopped"
    page.locator(".user").get_by_role("button", name="Retry").click()
    page.locator(".assistant .token").nth(3).wait_for()
    page.reload()
    (_, answer) = kept(page)[0]["messages"]
    assert answer["content"] and answer["end"] == "broken"


@pytest.fixture
def two_tabs(visit, endless_url):
    """Two tabs with one conversation on the screen."""
    page = visit(endless_url)
    put(page, talk("aa", "One", "First"))
    other = page.context.new_page()
    other.goto(endless_url)
    for tab in (page, other):
        tab.get_by_text("tokens of context").wait_for()
        pick(tab, "One")
    return page, other


def test_two_tabs_with_one_conversation_follow_each_other(two_tabs):
    page, other = two_tabs
    for asking, looking, text in ((page, other, "from here"), (other, page, "from there")):
        say(asking, text)
        answered(asking, -1)
        looking.wait_for_function("(all) => document.querySelectorAll('.message .text').length === all", arg=len(shown(asking)))
        looking.wait_for_function(
            "(last) => [...document.querySelectorAll('.text')].at(-1).textContent === last", arg=shown(asking)[-1]
        )
        assert shown(looking) == shown(asking) == texts_kept(page, "aa")
    assert [text for text in shown(page) if text.startswith("from")] == ["from here", "from there"]


def test_a_conversation_deleted_in_another_tab_stays_deleted_unless_it_is_wanted(two_tabs):
    page, other = two_tabs
    other.get_by_role("button", name="Delete “One”").click()
    page.get_by_text("“One” was deleted in another tab.").wait_for()
    assert shown(page) == [] and kept(page) == []
    page.get_by_role("button", name="Undo").click()
    assert shown(page) == ["One", "First"] == texts_kept(page, "aa")


def test_two_tabs_that_write_at_once_lose_nothing(two_tabs):
    page, other = two_tabs
    page.route("**/v1/chat/completions", lambda route: None)
    say(page, "from here")
    page.locator(".running").wait_for()
    other.get_by_text("from here").wait_for()
    say(other, "from there")
    answered(other, -1)
    page.get_by_role("button", name="Stop").click()
    page.unroute_all(behavior="ignoreErrors")
    page.get_by_role("button", name="Try again").or_(page.locator("#send")).first.wait_for()
    said = sorted(" ".join(one["content"] for one in talk["messages"] if one["role"] == "user") for talk in kept(page))
    assert said == ["One from here", "One from here from there"]


def test_the_arrow_keys_read_an_answer_that_is_longer_than_the_window(visit, endless_url):
    page = visit(endless_url)
    words = [f"w{at} " for at in range(900)]
    put(page, talk("aa", "One", "".join(words), segments=[[word, -1, [[word, -1]], 1] for word in words]))
    pick(page, "One")
    page.locator(".assistant .text").hover()  # a mouse that rests over the text does not take the place of the keys
    page.locator(".assistant .text").focus()
    page.locator("#scroll").evaluate("(one) => one.scrollTo({ top: 0 })")
    page.wait_for_timeout(100)
    for at in range(400):
        page.keyboard.press("ArrowRight")
        if at % 8 == 0:
            page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            assert page.locator(".looked-at").text_content() == words[at] and page.locator("#tip .name").text_content() == f"w{at}␣"
    page.keyboard.press("End")
    page.wait_for_timeout(100)
    assert page.locator(".looked-at").text_content() == words[-1] and page.locator("#tip").is_visible()
    place, box = page.locator(".looked-at").bounding_box(), page.locator("#tip").bounding_box()
    assert min(abs(place["y"] - box["y"] - box["height"]), abs(box["y"] - place["y"] - place["height"])) < 12
    page.mouse.wheel(0, -4000)
    page.locator("#tip").wait_for(state="hidden")
    page.keyboard.press("ArrowLeft")
    assert page.locator(".looked-at").text_content() == words[-2]


def test_passages_of_a_very_long_answer_are_marked(visit, traced_url):
    page = visit(traced_url)
    text = f"{'😀é' * 25_000} {BEGIN} and mine"
    put(page, talk("aa", "One", text))
    pick(page, "One")
    looked_up(page)
    marked = "".join(page.locator(".assistant .text .found").all_text_contents())
    assert BEGIN[2:-2] in marked and len(marked) < len(BEGIN) + 10 and shown(page)[1] == text


def test_a_look_up_ends_when_its_conversation_is_left(visit, traced_url):
    page = visit(traced_url)
    hostile_answer(page)
    error = {"message": "the index of the training data is being made", "code": "index_in_the_making"}
    asked = []

    def told(route):
        asked.append(route)
        route.fulfill(status=503, headers={"Retry-After": "1"}, json={"error": error})

    page.route("**/v1/training_matches", told)
    page.get_by_role("button", name="In the training data").click()
    page.get_by_text("is being made").wait_for()
    page.get_by_role("button", name="New conversation").click()
    page.wait_for_timeout(1500)
    assert len(asked) == 1 and page.locator("#notice").is_hidden()


def test_on_a_phone_enter_begins_a_line_and_the_button_sends(visit, endless_url):
    page = visit(endless_url, width=390, has_touch=True, is_mobile=True)
    settle(page, Temperature=0, Most_new_tokens=3)
    for name, send in (("Message", "Send"), ("Edit your message", "Save and send")):
        page.get_by_label(name, exact=True).fill("one")
        page.get_by_label(name, exact=True).press("Enter")
        page.keyboard.type("two")
        page.get_by_role("button", name=send, exact=True).tap()
        answered(page)
        assert page.locator(".user .text").text_content() == "one\ntwo"
        page.locator(".user").get_by_role("button", name="Edit").tap()


def test_a_key_that_no_header_can_carry_is_refused_where_it_is_typed(visit, start, taught):
    page = visit(start(taught, key=KEY).url)
    page.get_by_label("Key", exact=True).fill("abc…def")
    page.get_by_role("button", name="Use this key").click()
    assert page.get_by_label("Key", exact=True).evaluate("(one) => one.validity.patternMismatch")
    assert page.locator("#key").is_visible() and "401" in page.complaints[0] and len(page.complaints) == 1
    page.get_by_label("Key", exact=True).fill(f" {KEY} ")
    page.get_by_role("button", name="Use this key").click()
    page.get_by_text("taught · 8192 tokens of context").wait_for()


def test_a_server_that_came_back_with_another_model_is_met_anew(visit, start, endless, taught):
    one = start(dataclasses.replace(endless, engine=TorchEngine(endless.engine._model, slots=1)))
    page = visit(one.url)
    settle(page, Temperature=0, Most_new_tokens=200)
    page.get_by_text("endless · ").wait_for()
    one.stop()
    start(dataclasses.replace(taught, engine=TorchEngine(taught.engine._model, slots=1)), port=int(one.url.rpartition(":")[2]))
    say(page, QUESTION)
    page.get_by_text("The server has another model now").wait_for()
    page.get_by_text("taught · 8192 tokens of context").wait_for()
    page.get_by_role("button", name="Try again").click()
    page.locator(".assistant .token").first.wait_for()
    assert answered(page) == HOSTILE and kept(page)[0]["messages"][1]["model"] == "taught"


def test_settings_of_the_terminal_stay_with_their_conversation(visit, endless_url):
    page = visit(endless_url)
    page.get_by_text("endless · ").wait_for()
    more = {"top_k": 7, "min_p": 0.1, "repetition_penalty": 1.1, "presence_penalty": 0.5, "frequency_penalty": -0.25, "stop": "END"}
    one = talk("aa", "One", "First")
    one["settings"] |= more
    assert take_in(page, one) == "1 conversation is added."
    page.get_by_role("button", name="Settings").click()
    assert page.locator("#others").text_content().startswith("Also, from the terminal: top_k 7, min_p 0.1, ")
    assert page.locator("#others").text_content().endswith('stop ["END"].')
    page.get_by_role("button", name="Done").click()
    with page.expect_request("**/v1/chat/completions") as asked:
        say(page, "Two")
    sent = json.loads(asked.value.post_data)
    assert {name: sent[name] for name in more} == more | {"stop": ["END"]} and asked.value.response().status == 200
    answered(page, 1)
    page.get_by_role("button", name="New conversation").click()
    with page.expect_request("**/v1/chat/completions") as asked:
        say(page, "Three")
    assert not more.keys() & json.loads(asked.value.post_data).keys()
    answered(page)
    wild = {
        "top_k": 0,
        "min_p": 1,
        "repetition_penalty": 0,
        "presence_penalty": 3,
        "frequency_penalty": "1",
        "stop": ["", 5],
        "n": 9,
    }
    one = talk("bb", "Other", "First")
    one["settings"] |= wild
    take_in(page, one)
    assert not wild.keys() & next(kept_one for kept_one in kept(page) if kept_one["id"] == "bb")["settings"].keys()


def test_a_base_model_continues_text_and_the_page_says_so(visit, start, endless):
    engine = TorchEngine(endless.engine._model, slots=1)
    model = ServedModel("base", engine, endless.tokenizer, None, endless.first_id, begins_texts=False, created=1)
    page = visit(start(model).url)
    page.get_by_text("This is a base model: it continues your text").wait_for()
    settle(page, Temperature=0, Most_new_tokens=6)
    page.get_by_label("Text to be continued").fill("The river")
    page.keyboard.press("Enter")
    first = answered(page)
    page.keyboard.press("Enter")  # nothing more to say: it goes on by itself
    page.locator(".assistant").nth(1).wait_for()
    second = answered(page, 1)
    with torch.no_grad():
        ids = list(endless.tokenizer.encode("The river"))
        for _ in range(6):
            ids.append(int(endless.engine._model.logits(endless.engine._model(torch.tensor([ids])))[0, -1].argmax()))
    assert first == endless.tokenizer.decode(ids).removeprefix("The river") and second
    assert page.locator(".assistant .token").count() > 6
    assert page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_until_a_choice_is_made(visit, taught_url, scheme):
    page = visit(taught_url, color_scheme=scheme)
    luminance = "parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"
    assert (page.evaluate(luminance) > 128) == (scheme == "light")
    other = {"light": "dark", "dark": "light"}[scheme]
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Colours").select_option(other)
    assert (page.evaluate(luminance) > 128) == (other == "light")
    page.reload()
    assert (page.evaluate(luminance) > 128) == (other == "light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_the_contrast_that_wcag_asks_for(visit, taught_url, scheme):
    page = visit(taught_url, color_scheme=scheme)
    colours = page.evaluate(
        "Object.fromEntries(['ink','soft','paper','side','own','link','button','on-button','box','wrong'].map("
        "(n) => [n, getComputedStyle(document.documentElement).getPropertyValue('--' + n).trim()]))"
    )
    pairs = [("ink", back) for back in ("paper", "side", "own", "box", "wrong")]
    pairs += [("soft", "paper"), ("soft", "side"), ("link", "box"), ("on-button", "button")]
    found = {pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in pairs}
    assert {pair: ratio for pair, ratio in found.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_shaded_and_marked_tokens_have_that_contrast_too(visit, taught_url, scheme):
    page = visit(taught_url, color_scheme=scheme)
    hostile_answer(page)
    page.evaluate("document.documentElement.classList.add('tinted')")
    for shade, mark in itertools.product(range(5), ("", "looked-at", "found pointed-at", "found pointed-at looked-at")):
        ink, top, paper = page.evaluate(
            """(names) => {
              const span = document.querySelector(".token");
              span.className = names;
              const [own, body] = [getComputedStyle(span), getComputedStyle(document.body)];
              return [own.color, own.backgroundColor, body.backgroundColor];
            }""",
            f"token shade-{shade} {mark}",
        )
        (*over, alpha), (*under, _), (*text, _) = map(channels, (top, paper, ink))
        mixed = [round(alpha * one + (1 - alpha) * other) for one, other in zip(over, under, strict=True)]
        assert contrast(*("#" + "".join(f"{round(part):02x}" for part in one) for one in (text, mixed))) >= 4.5, (shade, mark)
        assert (alpha > 0) == bool(shade or mark)


def channels(colour):
    """Red, green and blue of 0 to 255, and the opacity, of a computed colour."""
    parts = [float(part) for part in re.findall(r"[\d.]+(?:e-\d+)?", colour.removeprefix("color(srgb"))]
    scale = 255 if colour.startswith("color(srgb") else 1
    return [*(part * scale for part in parts[:3]), *(parts[3:] or [1.0])]


def contrast(one, other):
    """WCAG 2.2's contrast ratio of two colours."""

    def luminance(colour):
        digits = colour.lstrip("#")
        digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_it_works_on_a_phone(visit, taught_url):
    page = visit(taught_url, width=390, has_touch=True, is_mobile=True)
    assert hostile_answer(page) == HOSTILE
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".token").nth(5).tap()
    box = page.locator("#tip").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] >= 0 and box["y"] + box["height"] <= 800
    assert page.locator("#drawer").is_hidden()
    page.get_by_role("button", name="Conversations").tap()
    page.locator("#list .open").wait_for()
    assert page.get_by_role("button", name="Conversations").get_attribute("aria-expanded") == "true"
    page.keyboard.press("Escape")
    assert page.locator("#drawer").is_hidden()
    page.get_by_role("button", name="Conversations").tap()
    page.get_by_role("button", name="New conversation").tap()
    assert page.locator(".message").count() == 0 and page.locator("#drawer").is_hidden()
    assert page.complaints == []


def test_everything_that_can_be_used_has_a_name(visit, taught_url):
    page = visit(taught_url)
    hostile_answer(page)
    page.get_by_role("button", name="Settings").click()
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, textarea, select')].filter((one) => !one.hidden && "
        "!(one.textContent.trim() || one.ariaLabel || one.labels?.length)).map((one) => one.outerHTML)"
    )
    assert unnamed == []
    assert (
        page.evaluate("new Set([...document.querySelectorAll('[id]')].map((one) => one.id)).size") == page.locator("[id]").count()
    )
