"""Self-knowledge data, written by the model itself: first messages, answers with its facts before its eyes, answers without.

Stable LM 2 report, section 3.3, after RLCD (Yang et al. 2023, arXiv 2307.12950): a positive answer is written after earlier turns
that state the facts, a negative one after the message alone. Training is conditioned (C-RLFT, Wang et al. 2023, arXiv 2309.11235):
negatives carry another token in place of the assistant's name, and a smaller weight.
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from pellucid.conversations.self_knowledge import SelfKnowledge, Shot, fold
from pellucid.conversations.store import Encoded, Examples, ExampleWriter
from pellucid.core.errors import ArtifactError, DataError, UsageError
from pellucid.core.files import read_json, write_json
from pellucid.core.progress import ProgressBar, progress
from pellucid.core.seeds import derive_seed, heldout
from pellucid.generate.batched import Completer
from pellucid.generate.sampling import Sampling
from pellucid.recipe.merge import suggest
from pellucid.recipe.tuning import SelfKnowledgeConfig
from pellucid.stages.first_messages import Message, Speech, blocks_of, write_first_messages

__all__ = ["HELDOUT_FRAC", "Made", "Writers", "make_self_knowledge", "negative_id"]

HELDOUT_FRAC = 0.02
"""Share of first messages whose answers are held out, by the digest of the message: as for conversations by default."""

_BLOCK = 256
_PARTS, _MADE_OF = "written", "made_of.json"


@dataclass(frozen=True)
class Writers:
    """The models that write, each loaded when it is needed first; `digests` tell their weights apart.

    `knows_chat`: whether the model of first messages has learnt conversations; otherwise it has only read text.
    """

    first_message: Callable[[], Completer]
    answer: Callable[[], Completer]
    knows_chat: bool = False
    digests: tuple[str, ...] = ()


class Made(NamedTuple):
    """Examples with a value `weight`, and the account of how they came about, which `funnel.json` holds as well."""

    train: Examples
    heldout: Examples
    account: dict[str, Any]


def negative_id(config: SelfKnowledgeConfig, speech: Speech) -> int:
    """Return the id of the token that marks negatives; raise `UsageError` where there is none, or where it ends answers."""
    special = speech.tokenizer.special
    if config.negative_token not in special:
        near = suggest(config.negative_token, list(special))
        fix = f"did you mean {near}?" if near else f"special tokens: {', '.join(special) or 'none'}"
        raise UsageError(
            f"self_knowledge.negative_token: got {config.negative_token!r}; the tokenizer has no such special token; {fix}"
        )
    if special[config.negative_token] in (*speech.chat.stop_ids, speech.tokenizer.eos_id):
        raise UsageError(f"self_knowledge.negative_token: got {config.negative_token!r}, which ends answers; take a spare one")
    return special[config.negative_token]


def make_self_knowledge(
    config: SelfKnowledgeConfig, known: SelfKnowledge, speech: Speech, writers: Writers, out: Path, *, seed: int, seq_tokens: int
) -> Made:
    """Write `out`/train, `out`/heldout and `out`/funnel.json, and return them.

    Examples have at most `seq_tokens` tokens. All that models write is kept in blocks under `out`/written: whoever is killed goes
    on there and ends with the same bytes; blocks of other settings, facts or weights are thrown away.
    Raises `UsageError` where not one shot fits into the context, `DataError` when nothing is left to learn from.
    """
    negative_id(config, speech)
    parts = out / _PARTS
    _begin(parts, _made_of(config, known, speech, writers, seed))
    messages = write_first_messages(config, known, speech, writers.first_message, parts, seed, knows_chat=writers.knows_chat)
    answers = _Answers(config, known, speech, writers.answer, seed)
    pairs: list[dict[str, Any]] = []
    with progress("answers", total=2 * len(messages.kept), unit="answers") as bar:
        for start in range(0, len(messages.kept), _BLOCK):
            block = messages.kept[start : start + _BLOCK]
            file = parts / f"answers-{start:08d}.jsonl"
            pairs += blocks_of(file, lambda block=block: answers.write(block, bar))  # type: ignore[misc]
    encoding = _Encoding(config, speech, out, seq_tokens)
    encoding.add_shots(known.shots)
    for pair in pairs:
        encoding.add_pair(pair)
    account = {
        "first_messages": messages.as_json(),
        "answers": {
            "messages": len(pairs),
            "kept": len(pairs) - encoding.dropped.total(),
            "dropped": dict(sorted(encoding.dropped.items())),
        },
        "shots": {"read": len(known.shots), "repeats": config.shot_repeats, "longer than seq_tokens": encoding.long_shots},
        "examples": encoding.counts,
    }
    if not any(encoding.counts["train"].values()):
        raise DataError(
            f"self-knowledge: no example is left to learn from; {account}. Raise shot_repeats, answer_tokens or seq_tokens"
        )
    train, held = encoding.close()
    write_json(out / "funnel.json", account)
    return Made(train, held, account)


def _made_of(config: SelfKnowledgeConfig, known: SelfKnowledge, speech: Speech, writers: Writers, seed: int) -> dict[str, Any]:
    """Return what the blocks are a function of, besides the machine."""
    return {
        "config": config.model_dump(mode="json"),
        "first_messages": list(known.first_messages),
        "shots": [list(shot) for shot in known.shots],
        "heldout": [question.question for question in known.heldout],
        "template": speech.chat.template,
        "knows_chat": writers.knows_chat,
        "weights": list(writers.digests),
        "seed": seed,
    }


def _begin(parts: Path, made_of: dict[str, Any]) -> None:
    """Keep the blocks that were written for the same settings; throw away others."""
    path = parts / _MADE_OF
    try:
        same = read_json(path) == made_of
    except ArtifactError:
        same = False
    if not same:
        shutil.rmtree(parts, ignore_errors=True)
        write_json(path, made_of)


class _Answers:
    """Writes the two answers to each message."""

    def __init__(
        self, config: SelfKnowledgeConfig, known: SelfKnowledge, speech: Speech, load: Callable[[], Completer], seed: int
    ) -> None:
        self._config, self._known, self._speech, self._load, self._seed = config, known, speech, load, seed
        self._completer: Completer | None = None
        once, twice = (len(speech.chat.encode(known.shots[0].turns * count).ids) for count in (1, 2))
        frame = once - (twice - once)
        self._sizes = [len(speech.chat.encode(shot.turns).ids) - frame for shot in known.shots]

    def write(self, messages: Sequence[Message], bar: ProgressBar) -> Iterator[dict[str, Any]]:
        """Yield a record for each message: the shots that it was asked after, and both answers or why one is of no use."""
        self._completer = completer = self._completer or self._load()
        room = completer.context_tokens - self._config.answer_tokens
        chosen = [self._shots(message, room) for message in messages]
        prompts = [self._prompt(message, shots) for message, shots in zip(messages, chosen, strict=True)]
        alone = [self._prompt(message, []) for message in messages]
        fit = [at for at, shots in enumerate(chosen) if shots]
        if not fit and messages:
            raise UsageError(
                f"self_knowledge.answer_tokens: got {self._config.answer_tokens}; of {completer.context_tokens} tokens of context "
                f"{room} are left for a message and shots, and no shot fits: lower answer_tokens or message_tokens"
            )
        done = completer.complete(
            [prompts[at] for at in fit] + [alone[at] for at in fit],
            max_new_tokens=self._config.answer_tokens,
            sampling=Sampling(self._config.temperature, top_p=self._config.top_p),
            seeds=[derive_seed(self._seed, kind, messages[at].sample) for kind in ("positive", "negative") for at in fit],
            stop_ids=self._speech.ends,
            on_done=bar.advance,
        )
        answers = {at: (done[number], done[number + len(fit)]) for number, at in enumerate(fit)}
        for at, message in enumerate(messages):
            record: dict[str, Any] = {"sample": message.sample, "message": message.text, "shots": chosen[at], "dropped": None}
            if at not in answers:
                yield record | {"dropped": "no room for a shot"}
                continue
            for kind, completion in zip(("positive", "negative"), answers[at], strict=True):
                record[kind], fault = self._speech.text(completion)
                record["dropped"] = record["dropped"] or (fault and f"{kind}: {fault}")
            if record["dropped"] is None and fold(record["positive"]) == fold(record["negative"]):
                record["dropped"] = "answers alike"
            yield record

    def _shots(self, message: Message, room: int) -> list[int]:
        """Return the numbers of as many shots as fit before a message, in an order of the message's own."""
        order = list(range(len(self._known.shots)))
        Random(derive_seed(self._seed, "shots", message.sample)).shuffle(order)
        left = room - len(self._prompt(message, []))
        chosen = []
        for number in order:
            if self._sizes[number] <= left:
                chosen.append(number)
                left -= self._sizes[number]
        # The sizes add up for templates whose turns do; for any other, what is too much goes.
        while chosen and len(self._prompt(message, chosen)) > room:
            chosen.pop()
        return chosen

    def _prompt(self, message: Message, shots: Sequence[int]) -> list[int]:
        turns = [turn for number in shots for turn in self._known.shots[number].turns]
        return self._speech.chat.prompt([*turns, {"role": "user", "content": message.text}])


class _Encoding:
    """The two folders of examples, and what went into them or did not."""

    def __init__(self, config: SelfKnowledgeConfig, speech: Speech, out: Path, seq_tokens: int) -> None:
        self._config, self._speech, self._seq_tokens = config, speech, seq_tokens
        self._writers = {split: ExampleWriter(out / split) for split in ("train", "heldout")}
        kinds = ("shot positive", "message positive", "message negative")
        self.counts = {split: dict.fromkeys(kinds, 0) for split in self._writers}
        self.dropped: Counter[str] = Counter()
        self.long_shots = 0

    def add_shots(self, shots: Sequence[Shot]) -> None:
        """Take the file's own questions and answers as positives, as often as the recipe says."""
        for number, shot in enumerate(shots):
            encoded = self._encoded(shot, positive=True)
            if len(encoded.ids) > self._seq_tokens:
                self.long_shots += 1
                continue
            for repeat in range(self._config.shot_repeats):
                self._add("train", encoded, _about(f"shot-{number:04d}.{repeat}", "shot", "positive", shot))

    def add_pair(self, pair: Mapping[str, Any]) -> None:
        """Take both answers to a message, or neither."""
        sides = [Shot(pair["message"], pair.get(kind, "")) for kind in ("positive", "negative")]
        reason = pair["dropped"]
        encoded = [] if reason else [self._encoded(side, positive=not number) for number, side in enumerate(sides)]
        if any(len(one.ids) > self._seq_tokens for one in encoded):
            reason = "longer than seq_tokens"
        if reason:
            self.dropped[reason] += 1
            return
        digest = hashlib.sha256(fold(pair["message"]).encode()).hexdigest()
        split = "heldout" if heldout(digest, HELDOUT_FRAC) else "train"
        for kind, side, ids in zip(("positive", "negative"), sides, encoded, strict=True):
            self._add(split, ids, _about(f"message-{pair['sample']:08d}.{kind}", "message", kind, side))

    def close(self) -> tuple[Examples, Examples]:
        """Write both folders, and open them."""
        train, held = (writer.close() for writer in self._writers.values())
        return train, held

    def _encoded(self, shot: Shot, *, positive: bool) -> Encoded:
        name = "assistant" if positive else self._config.negative_token
        chat = self._speech.chat.encode(shot.turns, assistant=name)
        return Encoded(chat.ids, chat.targets)

    def _add(self, split: str, encoded: Encoded, about: Mapping[str, str]) -> None:
        weight = 1.0 if about["class"] == "positive" else self._config.negative_weight
        self._writers[split].add([encoded], about, {"weight": weight})
        self.counts[split][f"{about['from']} {about['class']}"] += 1


def _about(name: str, origin: str, kind: str, shot: Shot) -> dict[str, str]:
    return {"id": name, "from": origin, "class": kind, "message": shot.question, "answer": shot.answer}
