"""Multiple-choice questions without any prompt around them, from the tasks and files that the suite `choices` reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.core.errors import DataError, UsageError
from pellucid.core.seeds import derive_seed
from pellucid.evals.choices.item import Item
from pellucid.evals.choices.read import read_items
from pellucid.evals.choices.tasks import load_task, pick
from pellucid.evals.subject import Setting
from pellucid.recipe.curves import FROM_HELDOUT

__all__ = ["ChoiceTask", "Question", "load_choice_task"]

_EXAMPLE_SEED = 1  # the same examples whatever the run's seed


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its choices, and which of them is right. `text` has no prompt around it, and no "Question:" before it."""

    id: str
    text: str
    choices: tuple[str, ...]
    label: int
    group: str | None = None


@dataclass(frozen=True, slots=True)
class ChoiceTask:
    """The questions of one task, and the worked ones that stand before each of them."""

    name: str
    questions: tuple[Question, ...]
    examples: tuple[Question, ...]
    about: dict[str, Any]


def load_choice_task(name: str, shots: int, setting: Setting) -> ChoiceTask:
    """Return a task of the suite `choices`, or the items of a file, at most `setting.limit`, chosen by the seed.

    The examples are taken out of the same questions before any is chosen. Raises what `choices.tasks.load_task` raises, and
    `UsageError` for a task whose items are no choices after one question.
    """
    data = Path(setting.data) if setting.data is not None else None
    limit = setting.limit + shots if setting.limit is not None and name in FROM_HELDOUT else None
    loaded = load_task(name, data, setting.seed, limit)
    in_file = loaded.path if name not in FROM_HELDOUT else None
    items: Sequence[Item] = loaded.items if in_file is None else list(_plain(in_file))
    questions = [_question(name, item) for item in items]
    ranked = sorted(questions, key=lambda question: derive_seed(_EXAMPLE_SEED, "example", name, question.id))
    if len(ranked) <= shots:
        raise DataError(f"{name} has {len(ranked)} questions; {shots} examples and at least one question are needed")
    examples, rest = ranked[:shots], {question.id for question in ranked[shots:]}
    left = [(item, question) for item, question in zip(items, questions, strict=True) if question.id in rest]
    chosen = {item.id for item in pick([item for item, _ in left], setting.limit, setting.seed, name)}
    about = {**loaded.facts, "prompt": "see variants", "chosen": len(chosen), "examples": [example.id for example in examples]}
    return ChoiceTask(
        Path(name).stem if Path(name).is_file() else name,
        tuple(question for _, question in left if question.id in chosen),
        tuple(examples),
        about,
    )


def _plain(path: Path) -> Iterator[Item]:
    """Yield a file's items with nothing made of their questions; those of a folder (MMLU) by subject."""
    if path.is_dir():
        for file in sorted(path.glob("*_test.csv")):
            subject = file.name.removesuffix("_test.csv")
            for item in read_items(file):
                yield Item(f"{subject}:{item.id}", item.kind, item.pairs, item.lengths, item.label, subject)
    else:
        yield from read_items(path)


def _question(task: str, item: Item) -> Question:
    contexts = {pair.context for pair in item.pairs}
    if item.kind != "choice" or len(contexts) != 1:
        raise UsageError(
            f"bose.tasks: {task} has items that are no choices after one question (item {item.id}); it cannot be asked"
        )
    text = contexts.pop().strip().removeprefix("Question:").strip()
    return Question(item.id, text, tuple(pair.continuation.strip() for pair in item.pairs), item.label, item.group)
