import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.documents.restructure.load import load_template
from pellucid.documents.restructure.render import TemplateMissError, render
from pellucid.documents.restructure.template import Template, parse_phrasing
from pellucid.recipe.template import TemplateFieldConfig

SHARED = Path(__file__).resolve().parents[3] / "../shared/data"
HERE = Path()


def one(text: str, **fields: dict[str, Any]) -> Template:
    configs = {name: TemplateFieldConfig(**config) for name, config in fields.items()}
    return Template("t", configs, (parse_phrasing(text),), {})


def miss(template: Template, record: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(TemplateMissError) as caught:
        render(template, record, 0, ("s", "1"))
    return caught.value.reason, caught.value.detail


def test_labels_become_words_and_those_without_a_word_are_missing() -> None:
    template = one("{x}", x={"path": "label", "map": {"0": "negative", "true": "yes"}})
    assert render(template, {"label": 0}, 0, ()) == "negative"
    assert render(template, {"label": "0"}, 0, ()) == "negative"
    assert render(template, {"label": True}, 0, ()) == "yes"
    assert miss(template, {"label": -1}) == ("template: field missing", "has '-1' in 'label', which map does not name")


@pytest.mark.parametrize(
    ("form", "text"),
    [("letters", "A. x\nB. y"), ("numbers", "1. x\n2. y"), ("bullets", "- x\n- y"), ("lines", "x\ny"), ("commas", "x, y")],
)
def test_lists_are_written_in_five_ways(form: str, text: str) -> None:
    assert render(one("{x}", x={"list": form}), {"x": ["x", " y "]}, 0, ()) == text
    assert miss(one("{x}", x={}), {"x": ["x"]})[0] == "template: field is no text"


def test_a_choice_is_picked_by_number_letter_or_label() -> None:
    record = {"n": 1, "s": "1", "l": "B", "key": "3", "choices": ["x", "y"], "labels": ["2", "3"], "off": 2}
    for path in ("n", "s", "l"):
        assert render(one("{x}", x={"path": path, "pick": "choices"}), record, 0, ()) == "y"
    assert render(one("{x}", x={"path": "n", "pick": "choices", "first": 1}), record, 0, ()) == "x"
    assert render(one("{x}", x={"path": "key", "pick": "choices", "labels": "labels"}), record, 0, ()) == "y"
    assert render(one("{x}", x={"path": "n", "pick": "choices", "letter": True}), record, 0, ()) == "B"
    assert miss(one("{x}", x={"path": "off", "pick": "choices"}), record)[1] == "has '2' in 'off', which is not in choices"


@pytest.mark.parametrize("value", ["--1", "9" * 5000, "-", "²"])
def test_what_is_no_number_picks_nothing(value: str) -> None:
    template = one("{x}", x={"path": "n", "pick": "choices"})
    assert miss(template, {"n": value, "choices": ["x", "y"]})[0] == "template: field missing"


def test_parts_of_a_text_are_taken_and_removed() -> None:
    answer = {"answer": "6*7 = <<6*7=42>>42\n#### 42"}
    assert render(one("{x}", x={"path": "answer", "before": "####", "remove": "<<[^<>]*>>"}), answer, 0, ()) == "6*7 = 42"
    assert render(one("{x}", x={"path": "answer", "after": "####"}), answer, 0, ()) == "42"
    assert render(one("{x}", x={"verbatim": True}), {"x": "  code\n"}, 0, ()) == "  code\n"
    assert miss(one("{x}", x={}), {"x": " \n"})[0] == "template: field missing"


@given(value=st.text(min_size=1, max_size=20).filter(str.strip), number=st.integers(), seed=st.integers(0, 2**31))
def test_values_are_put_in_as_they_are(value: str, number: int, seed: int) -> None:
    template = one("<{a}|{n}>", a={"verbatim": True}, n={})
    assert render(template, {"a": value, "n": number}, seed, ("s", value)) == f"<{value}|{number}>"


def test_of_the_phrasings_those_that_use_most_of_what_is_there_are_chosen_from() -> None:
    template = load_template("instructions", HERE)
    without = {render(template, {"instruction": "do", "context": "", "response": "done"}, 0, ("s", n)) for n in range(50)}
    assert len(without) == 3
    within = {render(template, {"instruction": "do", "context": "CONTEXT", "response": "done"}, 0, ("s", n)) for n in range(50)}
    assert len(within) == 3
    assert all("CONTEXT" in text for text in within)


def test_phrasings_are_chosen_evenly_and_by_seed_and_key_alone() -> None:
    template = load_template("topics", HERE)
    record = {"text": "t", "topic": "p"}
    chosen = [render(template, record, 3, ("s", str(n))) for n in range(900)]
    assert all(250 < count < 350 for count in Counter(chosen).values())
    assert chosen == [render(template, dict(record), 3, ("s", str(n))) for n in range(900)]
    assert chosen != [render(template, record, 4, ("s", str(n))) for n in range(900)]


def test_a_record_in_another_language_gets_that_languages_phrasings() -> None:
    template = load_template("summarisation", HERE)
    record = {"document": "Lang.", "summary": "Kurz."}
    for n in range(20):
        assert "Zusammenfassung" in (text := render(template, record, 0, ("s", n), "de-AT")) or "Kurz gesagt" in text
        assert "Résumé" in render(template, record, 0, ("s", n), "fr")
        assert "Zusammenfassung" not in render(template, record, 0, ("s", n), "sv")


EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "completion": [{"ctx": "He opens the door and", "endings": ["flies.", "steps in."], "label": "1"}],
    "entities": [{"text": "Ada met Charles in London.", "entities": ["Ada", "Charles", "London"]}],
    "inference": [{"premise": "It rains.", "hypothesis": "It is wet.", "label": 0}],
    "instructions": [{"instruction": "Name a fish.", "context": "", "response": "Tope"}],
    "math_word_problems": [{"question": "2 and 3?", "answer": "2+3 = <<2+3=5>>5\n#### 5"}],
    "multiple_choice": [
        {"question": "Which?", "choices": {"text": ["this", "that"], "label": ["A", "B"]}, "answerKey": "B"},
    ],
    "open_questions": [{"question": "Why?", "answer": "So."}],
    "reading_comprehension": [{"title": "T", "context": "C", "question": "Q?", "answers": {"text": ["A"], "answer_start": [0]}}],
    "sentiment": [{"text": "Fine.<br /><br />Really.", "label": 1}],
    "sql_queries": [{"question": "How many?", "context": "CREATE TABLE t (a INT)", "answer": "SELECT COUNT(*) FROM t"}],
    "summarisation": [{"document": "Long.", "summary": "Short."}],
    "titles": [{"title": "T", "text": "Body."}],
    "topics": [{"text": "Body.", "topic": "science"}],
    "translation": [{"src": "Haus", "tgt": "house"}, {"src": "Haus", "tgt": "house", "src_lang": "German", "tgt_lang": "English"}],
    "word_senses": [{"word": "tide", "definition": "rise and fall of the sea", "example": "the tide is out"}],
    "yes_no_questions": [{"passage": "Water is wet.", "question": "is water wet", "answer": True}],
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_shipped_template_fits_the_records_that_it_is_for_in_all_its_phrasings(name: str) -> None:
    template = load_template(name, HERE)
    texts = {render(template, record, 0, (name, n)) for record in EXAMPLES[name] for n in range(100)}
    assert len(texts) >= 2
    assert not any("{" in text or "<<" in text or "<br" in text or text != text.strip() for text in texts)
    reason, detail = miss(template, {"unrelated": 1})
    assert reason == "template: field missing"
    assert "unrelated" in detail


@pytest.mark.parametrize(
    ("name", "file"), [("math_word_problems", "bench/gsm8k/train.jsonl"), ("instructions", "conversations/dolly-15k-en.jsonl.gz")]
)
def test_real_data_sets_fit_their_templates(name: str, file: str) -> None:
    path = SHARED / file
    if not path.is_file():
        pytest.skip("the data set is not here")
    lines = (gzip.decompress(path.read_bytes()) if file.endswith("gz") else path.read_bytes()).splitlines()[:1000]
    template = load_template(name, HERE)
    for number, line in enumerate(lines):
        record = json.loads(line)
        text = render(template, record, 0, (name, number))
        if name == "instructions":
            assert all(record[field].strip() in text for field in ("instruction", "context", "response"))
        else:
            assert record["answer"].rpartition("####")[2].strip() in text
            assert "<<" not in text
