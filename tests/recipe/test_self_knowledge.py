import pytest
from pydantic import ValidationError

from pellucid.recipe.self_knowledge import SelfKnowledgeFile

WHOLE = {
    "facts": {"name": "A"},
    "first_messages": ("a", "b", "c", "d"),
    "shots": ({"question": "q", "answer": "a"},),
    "heldout": ({"question": "h", "expect": ("e",)},),
}


def test_a_file_needs_facts_first_messages_shots_and_heldout_questions() -> None:
    assert SelfKnowledgeFile.model_validate(WHOLE).shots[0].answer == "a"
    without = {"facts": {}, "first_messages": ("a",), "shots": (), "heldout": ()}
    for wrong in ({name: value} for name, value in [*without.items(), ("extra", 1)]):
        with pytest.raises(ValidationError):
            SelfKnowledgeFile.model_validate({**WHOLE, **wrong})


def test_a_question_needs_something_to_expect() -> None:
    with pytest.raises(ValidationError):
        SelfKnowledgeFile.model_validate({**WHOLE, "heldout": ({"question": "h", "expect": ()},)})
