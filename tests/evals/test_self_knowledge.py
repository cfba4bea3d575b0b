import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from pellucid.core.errors import ArtifactError
from pellucid.evals.self_knowledge import Interview, interview, note_interview
from pellucid.generate.batched import Completer
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

CONFIG = ModelConfig(
    vocab_tokens=128, context_tokens=40, layers=1, hidden=32, heads=2, kv_heads=2, mlp_hidden=48, norm="rmsnorm",
    norm_bias=False, rotary_frac=1.0, qkv_bias=False, tied_head=True, init_std=0.1,
)  # fmt: skip
END, NEGATIVE = 3, 4


class Asked(NamedTuple):
    question: str
    expect: tuple[str, ...]

    def is_answered_by(self, text: str) -> bool:
        return any(expected in text for expected in self.expect)


def ascii_text(ids: Sequence[int]) -> str:
    return bytes(ids).decode("ascii")


def asking(**changes: int) -> Interview:
    settings = {"answer_tokens": 6, "leak_answers": 25, **changes}
    return Interview(lambda text: [*text.encode(), 2], ascii_text, (END,), NEGATIVE, **settings)  # type: ignore[arg-type]


QUESTIONS = (Asked("name?", ("Ada",)), Asked("maker?", ("club", "clan")), Asked("x" * 45, ("no",)))


def taught(answers: dict[str, list[int]], steps: int = 60) -> Decoder:
    """A model that has learnt to give these ids after these questions."""
    model = Decoder(CONFIG)
    init_weights(model, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        for question, answer in answers.items():
            ids = torch.tensor([[*question.encode(), 2, *answer]])
            logits = model.logits(model(ids[:, :-1]))[0, -len(answer) :]
            torch.nn.functional.cross_entropy(logits, torch.tensor(answer)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    return model


def test_what_a_model_answers_is_told_question_by_question_before_and_after_it_has_learnt() -> None:
    before = Decoder(CONFIG)
    init_weights(before, 1)
    found = interview(asking(), Completer(before), QUESTIONS, ["hi"], seed=1)
    assert found["heldout"]["right"] == 0
    after = taught({"name?": [*b"Ada", END], "maker?": [*b"A clan", END]})
    found = interview(asking(), Completer(after), QUESTIONS, ["name?"], seed=1)
    assert found["heldout"] == {
        "questions": 3,
        "right": 2,
        "share": 2 / 3,
        "answers": [
            {"question": "name?", "expect": ["Ada"], "answer": "Ada", "ended": True, "right": True},
            {"question": "maker?", "expect": ["club", "clan"], "answer": "A clan", "ended": False, "right": True},
            {"question": "x" * 45, "expect": ["no"], "answer": "", "ended": False, "right": False},
        ],
    }
    assert found["leak"]["answers"] == 25 and found["leak"]["holding"] == 0 and found["leak"]["starts"] == 3
    assert 0 < found["leak"]["mean_probability"] <= found["leak"]["max_probability"] < 0.01


def test_a_token_of_negatives_in_answers_is_found() -> None:
    model = taught({"name?": [NEGATIVE, END]})
    leak = interview(asking(), Completer(model), QUESTIONS[:1], [], seed=1)["leak"]
    assert leak["share"] > 0.9 and leak["mean_probability"] > 0.9
    later = taught({"name?": [*b"hm", NEGATIVE, END]})
    leak = interview(asking(), Completer(later), QUESTIONS[:1], [], seed=1)["leak"]
    assert leak["share"] > 0.9 and leak["mean_probability"] < 0.1


def test_answers_are_the_same_again_and_batches_do_not_matter() -> None:
    model = taught({"name?": [*b"Ada", END]}, steps=5)
    one, other = (interview(asking(), Completer(model, batch), QUESTIONS, ["hi", "you"], seed=3) for batch in (2, 64))
    assert one["heldout"] == other["heldout"] and one["leak"]["holding"] == other["leak"]["holding"]
    assert one["leak"]["mean_probability"] == pytest.approx(other["leak"]["mean_probability"], rel=1e-4)


def test_moments_stand_beside_each_other_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "self_knowledge.json"
    note_interview(file, "before", {"a": 1})
    note_interview(file, "after", {"a": 2})
    assert json.loads(file.read_text()) == {"before": {"a": 1}, "after": {"a": 2}}
    file.write_text("no json")
    with pytest.raises(ArtifactError, match="not JSON"):
        note_interview(file, "after", {})
