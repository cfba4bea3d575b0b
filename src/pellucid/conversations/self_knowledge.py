"""What a model is to know of itself, from a YAML file: facts, shots in which they are filled in, held-out questions."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import NamedTuple

from pydantic import ValidationError

from pellucid.core.errors import Problem, RecipeError
from pellucid.recipe.merge import suggest
from pellucid.recipe.problems import field_text, translate
from pellucid.recipe.self_knowledge import SelfKnowledgeFile
from pellucid.recipe.tree import Stamp, TreeError, parse_yaml, plain

__all__ = ["Question", "SelfKnowledge", "Shot", "fold", "load_self_knowledge"]


class Shot(NamedTuple):
    """A question and its answer."""

    question: str
    answer: str

    @property
    def turns(self) -> list[dict[str, str]]:
        """The two as messages of a conversation."""
        return [{"role": "user", "content": self.question}, {"role": "assistant", "content": self.answer}]


class Question(NamedTuple):
    """A held-out question, and texts one of which a right answer holds."""

    question: str
    expect: tuple[str, ...]

    def is_answered_by(self, text: str) -> bool:
        """Tell whether the answer holds one of the expected texts, whatever case and white space, and not inside a longer word."""
        folded = fold(text)
        return any(re.search(_whole_word(fold(expected)), folded) for expected in self.expect)


@dataclass(frozen=True)
class SelfKnowledge:
    """The file's content, with the facts filled in."""

    facts: Mapping[str, str]
    first_messages: tuple[str, ...]
    shots: tuple[Shot, ...]
    heldout: tuple[Question, ...]


def fold(text: str) -> str:
    """Return a text by which two are compared: compatibility forms, case and white space made equal."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def load_self_knowledge(path: Path) -> SelfKnowledge:
    """Return what the file says. Raises `RecipeError` with all that is wrong with it, field by field."""
    config = _read(path)
    if problems := list(_filling_problems(config)):
        raise RecipeError(str(path), problems)
    facts = {name: value.strip() for name, value in config.facts.items()}

    def filled(text: str) -> str:
        return text.format_map(facts).strip()

    known = SelfKnowledge(
        facts=facts,
        first_messages=tuple(map(filled, config.first_messages)),
        shots=tuple(Shot(filled(shot.question), filled(shot.answer)) for shot in config.shots),
        heldout=tuple(Question(filled(one.question), tuple(map(filled, one.expect))) for one in config.heldout),
    )
    if problems := list(_repeated_questions(known)):
        raise RecipeError(str(path), problems)
    return known


def _read(path: Path) -> SelfKnowledgeFile:
    try:
        tree = parse_yaml(path.read_bytes().decode("utf-8-sig"), Stamp("given", path.name))
        raw = plain(tree) if tree is not None else None
        if not isinstance(raw, dict):
            raise TreeError([Problem("(file)", "must be a mapping of keys to values", f"begin with: {_KEYS}")])
        return SelfKnowledgeFile.model_validate_json(json.dumps(raw), strict=True)
    except FileNotFoundError as error:
        raise RecipeError(str(path), [Problem("(file)", "does not exist", f"write one with {_KEYS}")]) from error
    except OSError as error:
        raise RecipeError(str(path), [Problem("(file)", f"cannot be read: {error.strerror}")]) from error
    except TreeError as error:
        raise RecipeError(str(path), error.problems) from error
    except UnicodeDecodeError as error:
        raise RecipeError(str(path), [Problem("(file)", f"is not UTF-8: byte {error.start}", "save the file as UTF-8")]) from error
    except ValidationError as error:
        findings = translate(error.errors(include_url=False), SelfKnowledgeFile)
        raise RecipeError(str(path), [Problem(field_text(one.loc), one.message, one.fix) for one in findings]) from error


_KEYS = "facts, first_messages, shots, heldout"


def _texts(config: SelfKnowledgeFile) -> Iterator[tuple[str, str]]:
    """Yield every text that facts are filled into, with its place."""
    yield from ((f"first_messages[{index}]", text) for index, text in enumerate(config.first_messages))
    for index, shot in enumerate(config.shots):
        yield f"shots[{index}].question", shot.question
        yield f"shots[{index}].answer", shot.answer
    for index, one in enumerate(config.heldout):
        yield f"heldout[{index}].question", one.question
        yield from ((f"heldout[{index}].expect[{number}]", text) for number, text in enumerate(one.expect))


def _filling_problems(config: SelfKnowledgeFile) -> Iterator[Problem]:
    known = list(config.facts)
    for name, value in config.facts.items():
        if not value.strip():
            yield Problem(f"facts.{name}", "is empty", "give its text, or leave it out")
    for place, text in _texts(config):
        try:
            names = [(name, spec or convert) for _, name, spec, convert in Formatter().parse(text) if name is not None]
        except ValueError as error:
            yield Problem(place, f"got {text[:40]!r}; {error}", _BRACES)
            continue
        for name, extra in names:
            if extra or not re.fullmatch(r"\w+", name):
                yield Problem(place, f"got a placeholder {{{name}}} that is no plain name", _BRACES)
            elif name not in config.facts:
                near = suggest(name, known)
                fix = f"did you mean {{{near}}}?" if near else f"facts: {', '.join(known)}"
                yield Problem(place, f"{{{name}}} is not among the facts", fix)
        if not text.strip():
            yield Problem(place, "is blank")


_BRACES = "a placeholder is {name}, one of the facts; a brace that is meant is written {{ or }}"


def _repeated_questions(known: SelfKnowledge) -> Iterator[Problem]:
    """A held-out question that was also shown would measure nothing."""
    shown = {
        "first_messages": [_asked(text) for text in known.first_messages],
        "shots": [_asked(shot.question) for shot in known.shots],
        "heldout": [_asked(one.question) for one in known.heldout],
    }
    for index, key in enumerate(shown["heldout"]):
        for name, others in shown.items():
            first = others.index(key) if key in others else None
            if first is not None and (name, first) != ("heldout", index):
                fix = "a held-out question needs words of its own"
                yield Problem(f"heldout[{index}].question", f"asks the same as {name}[{first}]", fix)


def _asked(question: str) -> str:
    """Return a question without case, punctuation and double spaces."""
    return fold(re.sub(r"[^\w\s]", " ", question))


def _whole_word(text: str) -> str:
    """Return a pattern for a text that no ASCII letter or digit goes on; scripts without spaces have no word ends to ask for."""
    before = r"(?<![0-9a-z])" if re.match(r"[0-9a-z]", text) else ""
    after = r"(?![0-9a-z])" if re.search(r"[0-9a-z]$", text) else ""
    return before + re.escape(text) + after
