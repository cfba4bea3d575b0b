"""Tasks by name: where their data lie under `--data-dir`, and what is put around a question before it is shown.

All are zero-shot. Prompts are those of lm-evaluation-harness where the files hold what it needs; where they do not, it is said.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pellucid.core.errors import DataError, UsageError
from pellucid.core.files import sha256_file
from pellucid.evals.choices.heldout_items import Shape, heldout_items, read_heldout
from pellucid.evals.choices.item import Item
from pellucid.evals.choices.read import Prompt, read_items, read_mmlu
from pellucid.evals.sampling import pick as pick_by_key
from pellucid.recipe.curves import FROM_HELDOUT

__all__ = ["TASKS", "LoadedTask", "Source", "load_task", "pick"]


@dataclass(frozen=True)
class Source:
    """A benchmark: its places under the data folder, the first that is there is taken, and how it is shown."""

    about: str
    places: tuple[str, ...]
    prompt: Prompt = str
    read: Callable[[Path, Prompt], Iterator[Item]] = read_items


@dataclass(frozen=True)
class LoadedTask:
    """A task's items, all of them or the chosen ones. A file's task is called like the file, wherever it lies.

    `origin` are JSON values: where items come from, with digests. Its `path` is the place on this machine: results have `facts`.
    """

    name: str
    items: tuple[Item, ...]
    origin: Mapping[str, object]

    @property
    def path(self) -> Path | None:
        """The file or folder that the items were read from."""
        return Path(str(self.origin["path"])) if "path" in self.origin else None

    @property
    def facts(self) -> dict[str, object]:
        """What `origin` says, with the file's name in place of its path."""
        named = {"file": self.path.name} if self.path is not None else {}
        return {**{key: value for key, value in self.origin.items() if key != "path"}, **named}


def _answer(question: str) -> str:
    return f"{question.rstrip()}\nAnswer:"


def _mmlu(folder: Path, prompt: Prompt) -> Iterator[Item]:
    return read_mmlu(folder)


def _lines(name: str) -> tuple[str, ...]:
    return f"sets/{name}.jsonl", f"{name}.jsonl"


_ARC = (
    "`Question: …\\nAnswer:`, as the harness; known files of this form have the next choice as the right one where the original "
    "numbers its choices (71 of 2376 easy items, 19 of 1172 challenging ones): the suite harness reads the hub's rows"
)
TASKS: Mapping[str, Source] = {
    "arc_easy": Source(_ARC, _lines("arc_easy"), _answer),
    "arc_challenge": Source(_ARC, _lines("arc_challenge"), _answer),
    "boolq": Source("`Passage: …\\nQuestion: …?\\nAnswer:`; the harness leaves `Passage: ` out", _lines("boolq"), _answer),
    "hellaswag": Source(
        "context as in the file, whose last sentence the harness begins with a capital",
        ("hellaswag/hellaswag_val_full.txt.bz2", "hellaswag_val_full.txt.bz2", "hellaswag.jsonl"),
    ),
    "lambada_openai": Source("the passage; its last word is to be said", _lines("lambada_openai")),
    "mmlu": Source("subject, question, lettered choices, `Answer:`; 0-shot", ("mmlu/test",), str, _mmlu),
    "openbook_qa": Source("the question's stem, as the harness", _lines("openbook_qa")),
    "piqa": Source("`Question: …\\nAnswer:`, as the harness", _lines("piqa"), _answer),
    "winograd_wsc": Source("the sentence with each referent; scored is what follows, as the harness", _lines("winograd_wsc")),
}


def load_task(name: str, data: Path | None, seed: int, limit: int | None, shape: Shape = Shape()) -> LoadedTask:  # noqa: B008
    """Return a task by its name, or the items of a file; with `limit` at most so many, chosen by the seed.

    A file's name is relative to the working folder, or to the data folder. `continuation` and `perplexity` are made from the
    held-out documents of the run (or of its `documents/`) that `data` names. Raises `UsageError` for a task that there is not or
    whose data are missing, saying where they were looked for; `DataError` for items that are none.
    """
    if name in FROM_HELDOUT:
        return _from_heldout(name, data, seed, limit, shape)
    if name in TASKS:
        source = TASKS[name]
        path = _find(name, source.places, data)
        items = list(source.read(path, source.prompt))
        about: dict[str, object] = {"prompt": source.about}
    else:
        path = _file(name, data)
        items = list(read_items(path))
        about = {"prompt": "as in the file"}
        name = path.name
    if not items:
        raise DataError(f"{path} has no items")
    files = sorted(path.glob("*_test.csv")) if path.is_dir() else [path]
    origin = {**about, "path": str(path), "sha256": {file.name: sha256_file(file) for file in files}, "available": len(items)}
    return LoadedTask(name, tuple(pick(items, limit, seed, name)), origin)


def pick(items: Sequence[Item], limit: int | None, seed: int, task: str) -> list[Item]:
    """Return at most `limit` items, chosen by the seed and their ids alone, in the order that they have."""
    return pick_by_key(items, limit, seed, "choices", task, key=lambda item: item.id)


def _from_heldout(name: str, data: Path | None, seed: int, limit: int | None, shape: Shape) -> LoadedTask:
    folder = next((one for one in (data / "documents", data) if one.is_dir()), None) if data is not None else None
    documents = list(read_heldout(folder)) if folder is not None else []
    if not documents:
        where = f"looked in {data}" if data is not None else "no folder was given"
        raise UsageError(f"task {name} is made from a run's held-out documents; {where}: give --data-dir RUN")
    made = heldout_items(name, documents, limit or len(documents), seed, shape)
    return LoadedTask(name, tuple(made.items), {"prompt": made.about, "path": str(folder), **made.facts})


def _find(name: str, places: Sequence[str], data: Path | None) -> Path:
    if data is None:
        raise UsageError(f"task {name} needs data: give --data-dir FOLDER with {places[0]}")
    for place in places:
        if (data / place).exists():
            return data / place
    raise UsageError(f"task {name} has no data in {data}: looked for {', '.join(places)}")


def _file(name: str, data: Path | None) -> Path:
    tried = [Path(name), *([data / name] if data is not None else [])]
    for path in tried:
        if path.is_file():
            return path
    known = ", ".join([*TASKS, *FROM_HELDOUT])
    raise UsageError(
        f"there is no task {name!r}, and no file: looked for {', '.join(map(str, tried))}. Tasks are {known}; "
        "a file of items ends in .jsonl, .csv, .txt or .txt.bz2"
    )
