from pathlib import Path

import pytest

from pellucid.core.errors import RecipeError
from pellucid.documents.restructure.load import load_template, template_file, template_names

WRONG = """\
task: questions
fields:
  question:
  answer: {path: a, letter: true, remove: "("}
  unused: {pick: b, list: commas}
  other: {lst: commas}
phrasings:
  - "{quesion} {answer}"
  - "{question} { {answer}"
  - no placeholder
languages:
  de: []
"""


@pytest.mark.parametrize("name", template_names())
def test_every_shipped_template_loads_and_has_several_phrasings_with_all_they_say(name: str) -> None:
    template = load_template(name, Path())
    assert len(template.phrasings) >= 2
    assert len(set(template.phrasings)) == len(template.phrasings)


def test_the_tasks_of_restructured_pretraining_are_there() -> None:
    assert {"reading_comprehension", "summarisation", "sentiment", "inference", "entities", "titles", "word_senses"} <= {
        *template_names()
    }


def test_all_problems_of_a_file_are_shown_at_once(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(WRONG)
    with pytest.raises(RecipeError) as caught:
        load_template("t.yaml", tmp_path)
    assert [problem.field for problem in caught.value.problems] == ["fields.other.lst"]
    (tmp_path / "t.yaml").write_text(WRONG.replace("  other: {lst: commas}\n", ""))
    with pytest.raises(RecipeError) as caught:
        load_template("t.yaml", tmp_path)
    found = {problem.field: (problem.message, problem.fix) for problem in caught.value.problems}
    assert found["phrasings[0]"] == ("{quesion} is not among the fields", "did you mean {question}?")
    assert "stands alone" in found["phrasings[1]"][0]
    assert "no placeholder" in found["phrasings[2]"][0]
    assert found["fields.answer.letter"][0] == "needs pick"
    assert "is no regular expression" in found["fields.answer.remove"][0]
    assert found["fields.unused.list"][0] == "cannot stand beside pick"
    assert found["languages.de"][0] == "must hold at least one phrasing"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"task: x\n", "fields +missing"),
        (b"- a\n", "must be a mapping of keys to values"),
        (b"", "must be a mapping"),
        (b"task: \xff\n", "is not UTF-8: byte 6"),
        (b"task: x\ntask: y\n", "the key task is given twice"),
        (b"task: x\nfields: {a: }\nphrasings: ['b {a}']\nfeilds: 1\n", "unknown key; did you mean fields"),
        (b"task: x\nfields: {a: , b: }\nphrasings: ['b {a}']\n", r"fields\.b +no phrasing uses it"),
    ],
)
def test_a_file_that_is_no_template_is_explained(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t.yaml").write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        load_template("t.yaml", tmp_path)


def test_a_template_may_stand_in_the_recipe_or_be_named(tmp_path: Path) -> None:
    assert load_template("Q: {q}", tmp_path).required == ("q",)
    assert template_file("Q: {q}.yaml", tmp_path) is None
    with pytest.raises(RecipeError, match="stands alone"):
        load_template("Q: {q", tmp_path)
    with pytest.raises(RecipeError, match=r"there is no file .*own\.yaml"):
        load_template("own.yaml", tmp_path)
    with pytest.raises(RecipeError, match=r"did you mean summarisation\?"):
        load_template("summarization", tmp_path)
    shipped = template_file("topics", tmp_path)
    assert shipped is not None
    assert shipped.name == "topics"
