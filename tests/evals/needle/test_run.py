from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import ArtifactError, DataError, UsageError
from pellucid.evals.local import LocalModel
from pellucid.evals.needle.run import run
from pellucid.evals.results import Records, prompt_digest, summarise
from pellucid.evals.subject import Setting
from pellucid.evals.suites import find_suite
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.suites import NeedleConfig
from pellucid.tokenizer.training import train_bpe

Make = Callable[..., Any]
AROUND = 150  # tokens of the prompt that are no haystack, at most


def trial(folder: Path, subject: Any, setting: Setting | None = None, name: str = "one", **settings: Any) -> tuple[Any, Records]:
    with Records(folder / f"{name}.jsonl") as records:
        facts = run(subject, NeedleConfig(**settings), setting or Setting(), records)
    return facts, records


@pytest.mark.parametrize("has_chat", [False, True])
@pytest.mark.parametrize("distractors", [0, 5])
def test_a_program_that_searches_the_whole_text_finds_every_needle(
    tmp_path: Path, searcher: Make, has_chat: bool, distractors: int
) -> None:
    subject = searcher(has_chat=has_chat)
    facts, records = trial(tmp_path, subject, lengths=(300, 1000, 2000), depths=7, seeds=4, distractors=distractors)
    assert facts["style"] == ("chat" if has_chat else "complete")
    assert len(records) == 84
    for name in ("exact", "recall"):
        assert facts["tables"][name]["mean"] == [[1.0] * 7] * 3
        assert facts["tables"][name]["deviation"] == [[0.0] * 7] * 3
    for record in records:
        length = int(record.item.split("/")[0])
        assert record.details["tokens"] == length
        assert record.details["prompt_tokens"] == length + (11 if has_chat else 0)
    assert summarise(records, 1)["needle"]["metrics"]["exact"]["value"] == 1


@pytest.mark.parametrize("reads", [200, 700, 1100])
def test_a_program_that_reads_only_the_end_misses_what_lies_before(tmp_path: Path, searcher: Make, reads: int) -> None:
    _, records = trial(tmp_path, searcher(reads=reads), lengths=(500, 1000, 1500), depths=21, seeds=3)
    for record in records:
        length, depth, _ = map(float, record.item.split("/"))
        # So many tokens of the haystack lie behind the needle; there may be the rest of a sentence more, and needle and question.
        behind = (1 - depth / 100) * (length - AROUND)
        if behind > reads:
            assert record.scores["exact"] == 0, record.item
        elif behind < reads - 250 or reads >= length:
            assert record.scores["exact"] == 1, record.item


def test_a_needle_is_found_exactly_where_the_last_tokens_hold_it(tmp_path: Path, searcher: Make) -> None:
    subject = searcher(reads=400)
    facts, records = trial(tmp_path, subject, lengths=(500, 1000), depths=21, seeds=3)
    scores = {record.prompt: (record.scores["exact"], record.details) for record in records}
    found = missed = 0
    for prompt in subject.asked[1:]:  # the first was to measure
        exact, details = scores.pop(prompt_digest("complete", prompt))
        if subject.count_tokens(prompt[prompt.index(details["needle"]) :]) <= 400:
            assert exact == 1
            found += 1
        elif subject.count_tokens(prompt[min(prompt.rindex(fact) for fact in details["facts"]) :]) > 400:
            assert exact == 0
            missed += 1
    assert not scores
    assert found > 20
    assert missed > 20
    assert facts["prompts"] - found - missed <= 2  # cut within the needle


def test_the_same_seed_asks_the_same_and_another_seed_something_else(tmp_path: Path, searcher: Make) -> None:
    asked = []
    for number, seed in enumerate((1, 1, 2)):
        subject = searcher()
        trial(tmp_path, subject, Setting(seed=seed), str(number), lengths=(300, 600), depths=3, seeds=2)
        asked.append(subject.asked[1:])
    assert asked[0] == asked[1]
    assert not set(asked[0]) & set(asked[2])


def test_needles_and_orders_do_not_depend_on_the_other_lengths(tmp_path: Path, searcher: Make) -> None:
    (_, few), (_, more) = (
        trial(tmp_path, searcher(), name=str(len(lengths)), lengths=lengths, depths=3, seeds=2)
        for lengths in ((600,), (300, 600, 900))
    )
    digests = {record.item: record.prompt for record in more}
    assert all(digests[record.item] == record.prompt for record in few)


def test_what_was_asked_is_not_asked_again_and_a_cut_run_goes_on(tmp_path: Path, searcher: Make) -> None:
    settings: dict[str, Any] = {"lengths": (300, 600), "depths": 5, "seeds": 8}

    class Dying(type(searcher())):  # type: ignore[misc]
        def complete(self, prompts: Any, *rest: Any) -> Any:
            if len(self.asked) > 20:
                raise ArtifactError("the logits are no numbers")
            return super().complete(prompts, *rest)

    with pytest.raises(ArtifactError), Records(tmp_path / "one.jsonl") as records:
        run(Dying(), NeedleConfig(**settings), Setting(), records)
    kept = len(records)
    assert 0 < kept < 80
    again = searcher()
    facts, records = trial(tmp_path, again, **settings)
    whole, _ = trial(tmp_path, searcher(), name="whole", **settings)
    assert len(records) == 80
    assert len(set(again.asked[1:])) < len({record.prompt for record in records})
    assert facts["tables"] == whole["tables"]


def test_neighbours_share_their_beginning(tmp_path: Path, searcher: Make) -> None:
    subject = searcher()
    trial(tmp_path, subject, lengths=(500, 1000), depths=15, seeds=1)
    prompts = subject.asked[1:]

    def shared(a: str, b: str) -> int:
        return next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))

    in_order = sum(shared(a, b) for a, b in pairwise(prompts))
    assert in_order > 0.4 * sum(map(len, prompts))
    assert len(prompts) == len(set(prompts)) <= 30


def test_a_limit_asks_that_many_and_leaves_the_rest_of_the_tables_open(tmp_path: Path, searcher: Make) -> None:
    facts, records = trial(tmp_path, searcher(), Setting(limit=7), lengths=(300, 600), depths=5, seeds=2)
    assert len(records) == 7
    assert sum(map(sum, facts["tables"]["exact"]["count"])) == 7
    assert {value for row in facts["tables"]["exact"]["mean"] for value in row} == {None, 1.0}


def test_lengths_without_room_are_left_out_and_counted(tmp_path: Path, searcher: Make) -> None:
    facts, records = trial(tmp_path, searcher(context=1024, has_chat=True), lengths=(20, 500, 966, 965, 4000), depths=3, seeds=2)
    assert facts["lengths"] == [500, 965]  # 1024 - 48 for the answer - 11 of the format
    assert {entry["length"]: entry["items"] for entry in facts["left_out"]} == {20: 6, 966: 6, 4000: 6}
    assert "room for 965 tokens" in facts["left_out"][-1]["reason"]
    assert "question and needle alone take" in facts["left_out"][0]["reason"]
    assert len(records) == 12
    with pytest.raises(UsageError, match=r"needle.lengths: none of 2000, 4000 tokens is possible with searcher"):
        trial(tmp_path, searcher(context=1024), name="none", lengths=(2000, 4000))


def test_a_model_that_does_not_tell_tokens_is_asked_by_an_estimate_which_is_said(tmp_path: Path, searcher: Make) -> None:
    facts, _ = trial(tmp_path, searcher(context=None, tells_tokens=False), lengths=(500, 2000), depths=3, seeds=2)
    assert facts["tokens"].startswith("estimated: ")
    for length, (least, most) in facts["prompt_tokens"].items():
        assert 0.8 * int(length) < least <= most < 1.2 * int(length)


def test_an_own_needle_is_hidden_in_own_text(tmp_path: Path, searcher: Make) -> None:
    text = tmp_path / "own.txt"
    text.write_text("".join(f"Line {n} says nothing of it. " for n in range(400)))
    own: dict[str, Any] = {"needle": "The best thing is a sandwich in Dolores Park.", "question": "What is the best thing?"}
    settings = {**own, "answer": ("sandwich", "Dolores Park"), "haystack": str(text), "lengths": (300,), "depths": 3, "seeds": 2}
    facts, records = trial(tmp_path, searcher(), **settings)
    assert facts["tables"]["exact"]["value"] == 1
    assert facts["haystack"]["source"] == "own.txt"
    assert {record.details["needle"] for record in records} == {own["needle"]}
    assert all(record.text == {"question": own["question"], "answer": own["needle"]} for record in records)
    assert facts["looked_up_in_training_text"] == "needle and question"
    assert not facts["haystack_holds_answer"]
    text.write_text(text.read_text() + "A sandwich in Dolores Park.")
    assert trial(tmp_path, searcher(), name="two", **settings)[0]["haystack_holds_answer"]
    with pytest.raises(DataError, match=r"own.txt has \d+ characters, too few for a prompt of 9000 tokens"):
        trial(tmp_path, searcher(context=None), name="long", **{**settings, "lengths": (9000,)})
    text.write_text(text.read_text() + own["needle"])
    with pytest.raises(UsageError, match="the haystack holds 'The best thing"):
        trial(tmp_path, searcher(), name="twice", **settings)


def test_a_real_decoder_reads_every_prompt_to_its_last_token(tmp_path: Path) -> None:
    tokenizer = train_bpe([(Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")], 512)
    config = ModelConfig(
        vocab_tokens=tokenizer.vocab_tokens, context_tokens=420, layers=2, hidden=32, heads=4, kv_heads=2, mlp_hidden=48,
        norm="rmsnorm", norm_bias=False, rotary_frac=1.0, qkv_bias=False, tied_head=True, init_std=0.3,
    )  # fmt: skip
    model = Decoder(config)
    init_weights(model, 3)
    facts, records = trial(tmp_path, LocalModel(model, tokenizer), quick=True, max_new_tokens=20)
    assert facts["lengths"] == [400]
    assert [entry["length"] for entry in facts["left_out"]] == [100, 200]
    assert len(records) == 10
    assert facts["tables"]["exact"]["value"] == 0  # it has learnt nothing
    for record in records:
        assert (record.details["tokens"], record.details["prompt_tokens"], record.dropped_tokens) == (400, 400, 0)


def test_the_suite_is_found_by_its_name() -> None:
    assert find_suite("needle").run is run
