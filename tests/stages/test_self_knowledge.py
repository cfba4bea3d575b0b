import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pellucid.conversations.self_knowledge import SelfKnowledge, load_self_knowledge
from pellucid.core.errors import DataError, UsageError
from pellucid.generate.batched import Completer
from pellucid.recipe.tuning import SelfKnowledgeConfig
from pellucid.stages.first_messages import Speech
from pellucid.stages.self_knowledge import Made, Writers, make_self_knowledge, negative_id
from pellucid.tokenizer.bpe import BytePairTokenizer

KNOWN = load_self_knowledge(Path(__file__).parents[2] / "recipes" / "self_knowledge.yaml")


@pytest.fixture
def speech(chatml, tokenizer: BytePairTokenizer) -> Speech:  # type: ignore[no-untyped-def]
    return Speech(chatml, tokenizer)


@pytest.fixture
def make(babbler: Completer, speech: Speech) -> Callable[..., Made]:
    def made(out: Path, *, seq_tokens: int = 128, known: SelfKnowledge = KNOWN, digest: str = "", **changes: object) -> Made:
        settings = {"facts": "f", "first_messages": 120, "message_tokens": 24, "answer_tokens": 40, "shot_repeats": 2, **changes}
        writers = Writers(lambda: babbler, lambda: babbler, knows_chat=True, digests=(digest,))
        config = SelfKnowledgeConfig.model_validate(settings)
        return make_self_knowledge(config, known, speech, writers, out, seed=3, seq_tokens=seq_tokens)

    return made


def everything(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_each_message_gives_a_positive_and_a_negative_and_shots_are_positives(
    make: Callable[..., Made], speech: Speech, tokenizer: BytePairTokenizer, tmp_path: Path
) -> None:
    made = make(tmp_path)
    account, about = made.account, made.train.about()
    assert json.loads((tmp_path / "funnel.json").read_text()) == account
    answers, examples = account["answers"], account["examples"]
    assert answers["messages"] == 120 == answers["kept"] + sum(answers["dropped"].values())
    assert answers["kept"] > 40 and examples["train"]["shot positive"] == 2 * len(KNOWN.shots)
    for split, found in (("train", made.train), ("heldout", made.heldout)):
        assert examples[split]["message positive"] == examples[split]["message negative"]
        assert found.examples == sum(examples[split].values())
    assert sum(examples[split]["message positive"] for split in examples) == answers["kept"]
    negative = tokenizer.special["<|reg0|>"]
    for number, one in enumerate(about):
        ids, targets = made.train.read(number)
        positive = one["class"] == "positive"
        assert made.train.values["weight"][number] == np.float32(1.0 if positive else 0.1)
        assert (negative in ids) is not positive and not targets[np.flatnonzero(ids == negative)].any()
        assert tokenizer.decode(ids[targets].tolist()) == f"{one['answer']}<|im_end|>" and len(ids) <= 128
        alone = speech.chat.prompt([{"role": "user", "content": one["message"]}])
        assert positive is (ids[: len(alone)].tolist() == alone)
    pairs = [one for one in about if one["from"] == "message"]
    for one, other in zip(pairs[::2], pairs[1::2], strict=True):
        assert one["message"] == other["message"] and (one["class"], other["class"]) == ("positive", "negative")
        assert one["answer"] != other["answer"] and one["id"].removesuffix("positive") == other["id"].removesuffix("negative")


def test_positives_are_asked_after_as_many_shots_as_fit_in_an_order_of_their_own(
    make: Callable[..., Made], speech: Speech, tmp_path: Path
) -> None:
    make(tmp_path)
    records = [json.loads(line) for file in sorted((tmp_path / "written").glob("answers-*")) for line in file.open()]
    assert len({tuple(record["shots"]) for record in records}) > 110
    for record in records[:40]:
        turns = [turn for number in record["shots"] for turn in KNOWN.shots[number].turns]
        used = len(speech.chat.prompt([*turns, {"role": "user", "content": record["message"]}]))
        left = [len(speech.chat.encode(shot.turns).ids) for at, shot in enumerate(KNOWN.shots) if at not in record["shots"]]
        assert used <= 160 and used + min(left) > 160


def test_a_run_that_was_cut_off_ends_with_the_same_bytes_and_other_settings_begin_anew(
    make: Callable[..., Made], tmp_path: Path
) -> None:
    make(tmp_path / "whole", first_messages=260)
    make(tmp_path / "cut", first_messages=260)
    assert everything(tmp_path / "whole") == everything(tmp_path / "cut")
    for name in ("train/ids.npy", "funnel.json", "written/answers-00000256.jsonl", "written/messages-00000256.jsonl"):
        (tmp_path / "cut" / name).unlink()
    (tmp_path / "cut" / "written" / ".answers-00000000.jsonl.9.part").write_text('{"half a li')
    make(tmp_path / "cut", first_messages=260)
    (tmp_path / "cut" / "written" / ".answers-00000000.jsonl.9.part").unlink()
    assert everything(tmp_path / "whole") == everything(tmp_path / "cut")
    stamp = (tmp_path / "cut" / "written" / "answers-00000000.jsonl").stat().st_mtime_ns
    make(tmp_path / "cut", digest="other weights", answer_tokens=41)
    assert (tmp_path / "cut" / "written" / "answers-00000000.jsonl").stat().st_mtime_ns != stamp


def test_what_cannot_be_used_is_named(make: Callable[..., Made], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"negative_token: got '<\|reg9\|>'.*did you mean <\|reg"):
        make(tmp_path, negative_token="<|reg9|>")
    with pytest.raises(UsageError, match="ends answers"):
        make(tmp_path, negative_token="<|im_end|>")
    with pytest.raises(UsageError, match=r"answer_tokens: got 190; of 200 tokens of context 10 are left.*no shot fits"):
        make(tmp_path, answer_tokens=190, first_messages=5)
    with pytest.raises(DataError, match="no example is left"):
        make(tmp_path, seq_tokens=3, first_messages=5)


def test_shots_and_answers_longer_than_a_sequence_are_counted(make: Callable[..., Made], tmp_path: Path) -> None:
    made = make(tmp_path, seq_tokens=24)
    assert made.account["shots"]["longer than seq_tokens"] > 0 and made.account["answers"]["dropped"]["longer than seq_tokens"] > 0
    assert made.train.lengths.max() <= 24


def test_the_token_of_negatives_is_known_by_its_id(speech: Speech, tokenizer: BytePairTokenizer) -> None:
    assert negative_id(SelfKnowledgeConfig(facts="f"), speech) == tokenizer.special["<|reg0|>"]
