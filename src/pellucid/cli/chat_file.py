"""Conversations as files: the same JSON that the chat page exports, so that a talk goes from one to the other."""

import secrets
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pellucid.core.errors import DataError, UsageError
from pellucid.core.excerpt import one_line
from pellucid.core.files import write_json

__all__ = ["Kept", "KeptMessage", "choose", "is_there", "path_of", "read_file", "write_file"]

_MOST_BYTES = 64 * 2**20
_TITLE_CHARS = 60

Number = Annotated[float, Field(allow_inf_nan=False)]
# Rounding may leave a little above 0.
Logprob = Annotated[float, Field(allow_inf_nan=False, le=0.01)]

# The server takes one text as it is, or several in a list.
Stops = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class _Tolerant(BaseModel):
    # What a newer page adds is kept, and written again.
    model_config = ConfigDict(extra="allow", strict=True)


class KeptMessage(_Tolerant):
    """A message; an answer has facts beside its text, if it was not edited. `segments` are those of `answering.Segment`."""

    role: Literal["user", "assistant"]
    content: str
    segments: list[tuple[str, Logprob | None, list[tuple[str, Logprob]], Annotated[int, Field(ge=0)]]] | None = None
    tokens: int | None = None
    seconds: Number | None = None
    limit: int | None = None
    model: str | None = None
    end: str | None = None


class KeptSettings(BaseModel):
    """The page's settings, and the server's fields that the page sends along without a field for them."""

    model_config = ConfigDict(extra="ignore", strict=True)

    system: str = ""
    temperature: Number = 1.0
    top_p: Number = 1.0
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    seed: int | None = None
    top_k: int | None = None
    min_p: Number | None = None
    repetition_penalty: Number | None = None
    presence_penalty: Number | None = None
    frequency_penalty: Number | None = None
    stop: Stops | None = None


class Kept(_Tolerant):
    """A conversation. `changed` is in milliseconds since 1970."""

    version: Literal[1] = 1
    id: str = Field(default_factory=lambda: secrets.token_hex(12))
    changed: Number = 0
    settings: KeptSettings = Field(default_factory=KeptSettings)
    messages: list[KeptMessage]

    @property
    def title(self) -> str:
        """How its first message begins."""
        text = one_line(self.messages[0].content, _TITLE_CHARS) if self.messages else ""
        return text or "no words"

    def values(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return what the page exports of it, with these settings."""
        self.changed = int(time.time() * 1000)
        return {**self.model_dump(mode="json", exclude_none=True), "settings": settings}


def path_of(text: str) -> Path:
    """Return the file that a person has named; `~` is a home folder. Raises `UsageError` for what can name no file."""
    if "\0" in text:
        raise UsageError("the name of a file has no null character in it; leave it out")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{text}: nobody of this name has a home folder here; give the folder itself") from error


def is_there(path: Path) -> bool:
    """Return whether there is anything of this name. Raises `UsageError` where that cannot be found out."""
    try:
        return path.exists()
    except OSError as error:
        raise UsageError(f"{path} cannot be looked at: {error.strerror}; give another name") from error


def read_file(path: Path) -> list[Kept]:
    """Return the conversations of a file. Raises `DataError` that says what is wrong with it, `UsageError` when there is none."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path} has more than {_MOST_BYTES // 2**20} MiB, which no exported conversation has")
        values = orjson.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    return _validated(values, path)


def _validated(values: Any, path: Path) -> list[Kept]:
    # One is read as one, so that an error is about the conversation and not about its not being a list.
    several = isinstance(values, list)
    try:
        found = [Kept.model_validate_json(orjson.dumps(value)) for value in (values if several else [values])]
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "its value"
        raise DataError(f"{path} holds no conversation as the chat page exports it: {place}: {first['msg']}") from error
    except orjson.JSONEncodeError as error:
        # Lists in lists are read to a greater depth than they are written.
        raise DataError(f"{path} holds no conversation as the chat page exports it: {error}") from error
    if not found:
        raise DataError(f"{path} holds no conversation")
    return found


def choose(found: list[Kept], number: int | None, path: Path) -> Kept:
    """Return conversation `number`, counted from 1; the only one without a number. Raises `UsageError` that lists them."""
    if number is None and len(found) == 1:
        return found[0]
    if number is not None and 1 <= number <= len(found):
        return found[number - 1]
    titles = "\n".join(f"  {at}  {one.title}" for at, one in enumerate(found[:20], 1))
    more = f"\n  … {len(found) - 20} more" if len(found) > 20 else ""
    which = "" if number is None else f", but no number {number}"
    raise UsageError(
        f"{path} holds {len(found)} conversation{'s' * (len(found) > 1)}{which}; choose one by its number:\n{titles}{more}"
    )


def write_file(path: Path, kept: Kept, settings: dict[str, Any]) -> None:
    """Write a conversation, all or nothing. Raises `UsageError` rather than write over what is not this conversation."""
    if is_there(path):
        try:
            ids = [one.id for one in read_file(path)]
        except (DataError, UsageError):
            ids = []
        if ids != [kept.id]:
            raise UsageError(f"{path} is there already and is not this conversation; give another name")
    try:
        write_json(path, kept.values(settings))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
