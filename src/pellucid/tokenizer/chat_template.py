"""Jinja chat templates, rendered as transformers renders them, in a sandbox that also bounds what a rendering may cost.

The dialect is that of `transformers.utils.chat_template_utils`: an immutable sandbox, blocks trimmed, loop controls, `tojson`
without HTML escapes, `raise_exception`, `strftime_now`, and `{% generation %}…{% endgeneration %}` around what the assistant says.
Left out is what would render otherwise each time: the filter `random` and the function `lipsum`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from jinja2 import meta, nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError

from pellucid.core.errors import DataError, UsageError
from pellucid.tokenizer.template_sandbox import ChatEnvironment
from pellucid.tokenizer.template_work import MOST_CHARS, STEP_CHARS, WORK, RefusalError, Work

__all__ = ["ChatTemplate", "Rendered", "unused"]

_TAG = re.compile(r"\{%([-+]?)\s*((?:end)?generation)\s*([-+]?)%\}")


class Rendered(NamedTuple):
    """A conversation as text, and the spans of characters (first, after the last) that generation tags enclose."""

    text: str
    spans: list[tuple[int, int]]


class ChatTemplate:
    """A compiled template. `variables` are the names it asks for; `marks_answers` is whether it has generation tags.

    `now` is what `strftime_now` tells, the same for all renderings. Raises `UsageError` with line and reason when the source does
    not compile.
    """

    def __init__(self, source: str, name: str, now: datetime) -> None:
        self.source, self.name, self.now = source, name, now
        self._step = STEP_CHARS + len(source) // 4
        try:
            with self._working(("", "")):
                environment = ChatEnvironment(now)
                tree = environment.parse(source)
                self.variables: frozenset[str] = frozenset(meta.find_undeclared_variables(tree))
                self.marks_answers = any(
                    isinstance(block.call.node, nodes.ExtensionAttribute) for block in tree.find_all(nodes.CallBlock)
                )
                self._template = environment.from_string(source)
        except TemplateSyntaxError as error:
            raise UsageError(f"chat template {name}, line {error.lineno}: {error.message}") from error
        except Exception as error:  # deep nesting and the like: whatever the compiler trips over
            raise UsageError(f"chat template {name} does not compile: {_reason(error)}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        return ChatTemplate, (self.source, self.name, self.now)

    @property
    def without_tags(self) -> str:
        """The template for programs that do not know generation tags: they are comments there, which strip blanks alike."""
        return _TAG.sub(r"{#\1 \2 \3#}", self.source)

    def render(self, messages: Sequence[Mapping[str, str]], variables: Mapping[str, Any]) -> Rendered:
        """Return the text of a conversation and what the generation tags enclose.

        Raises `UsageError` when the template reaches for what the sandbox withholds or costs too much, and `DataError` with line
        and reason when it refuses the conversation or fails on it.
        """
        marks = unused(2, [self.source, *(message["content"] for message in messages)]) if self.marks_answers else "  "
        try:
            with self._working((marks[0], marks[1])):
                text = self._template.render({"messages": list(messages), "tools": None, "documents": None, **variables})
        except SecurityError as error:
            raise UsageError(f"{self._place(error)} is not allowed what it does: {_reason(error)}") from error
        except RefusalError as error:
            raise DataError(f"{self._place(error)} refuses the conversation: {error.message}") from error
        except Exception as error:  # a template may raise whatever Python does
            raise DataError(f"{self._place(error)} fails: {_reason(error)}") from error
        return _without_marks(text, marks) if self.marks_answers else Rendered(text, [])

    @contextmanager
    def _working(self, marks: tuple[str, str]) -> Iterator[None]:
        token = WORK.set(Work(MOST_CHARS, self._step, marks))
        try:
            yield
        finally:
            WORK.reset(token)

    def _place(self, error: Exception) -> str:
        """Say where in the template an error arose; Jinja gives the frames of a template the lines of its source."""
        line, frame = None, error.__traceback__
        while frame is not None:
            if frame.tb_frame.f_code.co_filename == "<template>":
                line = frame.tb_lineno
            frame = frame.tb_next
        return f"chat template {self.name}" + (f", line {line}," if line else "")


def unused(count: int, texts: Iterable[str]) -> str:
    """Return so many different characters that none of the texts holds: noncharacters of Unicode, or such of private use."""
    texts, found = list(texts), ""
    for code in chain(range(0xFDD0, 0xFDF0), range(0xF0000, 0x10FFFE)):
        if len(found) == count:
            break
        if not any(chr(code) in text for text in texts):
            found += chr(code)
    return found


def _without_marks(text: str, marks: str) -> Rendered:
    """Return the text without the characters that enclose generation blocks, and where they were; of nested ones the outer."""
    parts, spans = [], []
    length = depth = start = 0
    for part in re.split(f"([{marks}])", text):
        if part == marks[0]:
            start = start if depth else length
            depth += 1
        elif part == marks[1]:
            depth -= 1
            if not depth and length > start:
                spans.append((start, length))
        else:
            parts.append(part)
            length += len(part)
    return Rendered("".join(parts), spans)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
