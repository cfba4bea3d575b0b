"""First messages that a base model makes up: sampled in blocks, one line each, no two alike (Stable LM 2 report, section 3.3)."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import orjson

from pellucid.conversations.self_knowledge import SelfKnowledge, fold
from pellucid.core.errors import DataError, PellucidWarning, UsageError
from pellucid.core.files import disk_full_is_explained, writing
from pellucid.core.progress import progress
from pellucid.core.seeds import derive_seed
from pellucid.generate.batched import Completer, Completion
from pellucid.generate.sampling import Sampling
from pellucid.recipe.tuning import SelfKnowledgeConfig
from pellucid.tokenizer.chat import ChatFormat
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["ENOUGH_ATTEMPTS", "FirstMessages", "Message", "Speech", "blocks_of", "write_first_messages"]

ENOUGH_ATTEMPTS = 8
"""Messages sampled for each one that is wanted, at most: a model that repeats itself more than that has no more to say."""

_BLOCK = 256
"""Samples of one file."""

_SHOWN = 8
"""Examples that a base model sees before it makes up its own; which ones, and in which order, changes from sample to sample."""


@dataclass(frozen=True)
class Speech:
    """What turns conversations into ids and ids into text."""

    chat: ChatFormat
    tokenizer: Tokenizer

    def text(self, completion: Completion) -> tuple[str, str | None]:
        """Return what was written, and why it is of no use: 'no end', 'special token', 'not text', 'empty', or None."""
        text = self.tokenizer.decode_after(completion.ids).strip()
        if completion.stopped_by is None:
            return text, "no end"
        if completion.stopped_by not in (*self.chat.stop_ids, self.tokenizer.eos_id):
            return text, "special token"
        return text, _fault(text)

    @property
    def ends(self) -> frozenset[int]:
        """Every id at which an answer is over: where it may end, and special tokens, which no answer holds."""
        return frozenset((*self.chat.stop_ids, *self.tokenizer.special.values()))


class Message(NamedTuple):
    """A first message, and the number of the sample that it is."""

    sample: int
    text: str


@dataclass
class FirstMessages:
    """What was found, and what became of the other samples: sampled = kept + dropped."""

    kept: list[Message] = field(default_factory=list)
    sampled: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """Return the account."""
        return {"sampled": self.sampled, "kept": len(self.kept), "dropped": dict(sorted(self.dropped.items()))}


def blocks_of(file: Path, make: Callable[[], Iterable[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return the records of one block: from its file where that is there, else made and written. The file is whole or absent."""
    if not file.exists():
        lines = [orjson.dumps(dict(record)) + b"\n" for record in make()]
        with disk_full_is_explained(file), writing(file) as out:
            out.writelines(lines)
    return [orjson.loads(line) for line in file.read_bytes().splitlines()]


def write_first_messages(
    config: SelfKnowledgeConfig,
    known: SelfKnowledge,
    speech: Speech,
    load: Callable[[], Completer],
    folder: Path,
    seed: int,
    *,
    knows_chat: bool,
) -> FirstMessages:
    """Return `config.first_messages` different messages, or as many as `ENOUGH_ATTEMPTS` times as many samples gave.

    Sample i is a function of the model, `seed` and i alone. With `knows_chat` the model goes on after the beginning of a user's
    turn; a model that has only read text is shown a list of the file's own examples to go on with. Samples lie in `folder` in
    blocks, so that a kill loses one. The model is loaded only where a block is missing.
    """
    block = min(_BLOCK, config.first_messages)
    found, seen = FirstMessages(), {fold(question.question) for question in known.heldout}
    heldout, lines = set(seen), _line_ends(speech.tokenizer)
    completer: list[Completer] = []

    def sample(start: int) -> list[dict[str, Any]]:
        if not completer:
            completer.append(load())
        numbers = range(start, start + block)
        seeds = [derive_seed(seed, "first message", number) for number in numbers]
        room = completer[0].context_tokens - config.message_tokens
        prompts = [_user_turn(speech.chat)] * block if knows_chat else [_list(known, speech.tokenizer, one, room) for one in seeds]
        done = completer[0].complete(
            prompts,
            max_new_tokens=config.message_tokens,
            sampling=Sampling(config.temperature, top_p=config.top_p),
            seeds=seeds,
            stop_ids=lines | speech.ends,
        )
        return [_record(number, one, speech, lines) for number, one in zip(numbers, done, strict=True)]

    with progress("first messages", total=config.first_messages, unit="messages") as bar:
        while len(found.kept) < config.first_messages and found.sampled < ENOUGH_ATTEMPTS * config.first_messages:
            number = found.sampled
            for record in blocks_of(folder / f"messages-{number:08d}.jsonl", lambda start=number: sample(start)):  # type: ignore[misc]
                if len(found.kept) == config.first_messages:
                    break
                found.sampled += 1
                key = fold(record["text"])
                reason = record["dropped"] or ("held-out question" if key in heldout else "duplicate" if key in seen else None)
                if reason is None:
                    seen.add(key)
                    found.kept.append(Message(record["sample"], record["text"]))
                    bar.advance()
                else:
                    found.dropped[reason] += 1
            bar.note(f"{found.sampled} sampled")
    if len(found.kept) < config.first_messages:
        warnings.warn(
            f"{len(found.kept)} different first messages were found in {found.sampled} samples; first_messages is "
            f"{config.first_messages}. Dropped: {dict(sorted(found.dropped.items()))}. Raise temperature or lower first_messages",
            PellucidWarning,
            stacklevel=2,
        )
    return found


def _record(number: int, completion: Completion, speech: Speech, lines: frozenset[int]) -> dict[str, Any]:
    """Return one sample: its first line, and why it is dropped."""
    if completion.stopped_by in lines:
        whole = speech.tokenizer.decode_after([*completion.ids, completion.stopped_by])
        text = whole.partition("\n")[0].strip()
        dropped = _fault(text)
    else:
        text, dropped = speech.text(completion)
    return {"sample": number, "text": text, "dropped": "too long" if dropped == "no end" else dropped}


def _fault(text: str) -> str | None:
    if "\ufffd" in text:
        return "not text"
    return None if any(character.isalnum() for character in text) else "empty"


def _line_ends(tokenizer: Tokenizer) -> frozenset[int]:
    """Return the ids of all tokens that hold the end of a line."""
    ends, special = set(), set(tokenizer.special.values())
    for id_ in range(tokenizer.vocab_tokens):
        try:
            if id_ not in special and b"\n" in tokenizer.decode_bytes([id_]):
                ends.add(id_)
        except DataError:  # an id without a token
            continue
    return frozenset(ends)


def _user_turn(chat: ChatFormat) -> list[int]:
    """Return the beginning of a conversation up to where the user speaks: what conversations of different words have in common."""
    one, other = (chat.prompt([{"role": "user", "content": content}]) for content in ("Why", "3"))
    common = next(at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right)
    if not common:
        raise UsageError("the chat template writes nothing before a user's words; its model cannot be asked to speak as the user")
    return one[:common]


def _list(known: SelfKnowledge, tokenizer: Tokenizer, seed: int, room: int) -> list[int]:
    """Return a list of example messages, as many as leave room, with the mark of the next one at its end."""
    shown = list(known.first_messages)
    Random(seed).shuffle(shown)
    for count in range(min(_SHOWN, len(shown)), 0, -1):
        ids = [tokenizer.eos_id, *tokenizer.encode("".join(f"– {message}\n\n" for message in shown[:count]) + "–")]
        if len(ids) <= room:
            return ids
    raise UsageError(f"the model's context leaves {room} tokens besides message_tokens; no example message fits in them")
