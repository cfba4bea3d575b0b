"""The chat format: conversations as ids, with the loss on what the assistant says, by a Jinja template."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.errors import DataError, UsageError
from pellucid.tokenizer.chat_ids import ChatIds, Message, Span, SpecialText
from pellucid.tokenizer.chat_template import ChatTemplate, Rendered
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["SHIPPED", "ChatFormat", "ChatIds", "load_chat_format"]

_TEMPLATES = Path(__file__).with_name("templates")
# The shipped templates, and the special tokens without which they make no sense.
SHIPPED: dict[str, tuple[str, ...]] = {"chatml": ("<|im_start|>", "<|im_end|>"), "zephyr": (), "plain": ()}

ASSISTANT = "assistant"
_ROLES = ("system", "user", ASSISTANT)
_SPEAKER = "assistant_name"
_PROBE: tuple[Message, ...] = ({"role": "user", "content": "Is it so?"}, {"role": ASSISTANT, "content": "It is."})


class ChatFormat:
    """How conversations are written with one template and one vocabulary.

    `stop_ids` end an answer: the vocabulary's end of text, and the special token that the template writes after an answer.
    `system` goes before conversations that have no system prompt. Raises `UsageError` when the template does not even render one
    question with one answer.
    """

    def __init__(self, template: ChatTemplate, tokenizer: Tokenizer, system: str | None = None) -> None:
        self._template, self._tokenizer, self._system = template, tokenizer, system
        self._special = SpecialText(tokenizer)
        names = {id_: name for name, id_ in tokenizer.special.items()}
        self.bos_token, self.eos_token = tokenizer.bos, names[tokenizer.eos_id]
        self.stop_ids = self._stop_ids()

    @property
    def template(self) -> str:
        """The Jinja source as it was read."""
        return self._template.source

    @property
    def exported(self) -> str:
        """The template for others to render: the same text from Jinja as everyone has it, and from the messages alone.

        Generation tags are comments there. What else a rendering here knows is written at its head: the beginning of a text, where
        that is another token than its end, as exported vocabularies say that the end also begins; and the system prompt.
        """
        head = ""
        if "bos_token" in self._template.variables and self.bos_token != self.eos_token:
            head += "{% set bos_token = " + _literal(self.bos_token) + " %}"
        if self._system is not None:
            first = "[{'role': 'system', 'content': " + _literal(self._system) + "}]"
            head += "{% if messages[0]['role'] != 'system' %}{% set messages = " + first + " + messages %}{% endif %}"
        # A block takes the line end after it away, and the template begins its own line as before.
        return (head + "\n" if head else "") + self._template.without_tags

    def text(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
        """Return the text of a conversation. Raises `DataError` when the messages or the template do not allow one."""
        return self._render(self._prepared(messages), add_generation_prompt).text

    def prompt(self, messages: Sequence[Message], *, assistant: str = ASSISTANT) -> list[int]:
        """Return the ids of a conversation up to where the assistant is to speak; raise as `encode` does."""
        messages = self._prepared(messages)
        hidden, back = self._special.hide(messages, self.template)
        text = self._render(hidden, True, assistant).text
        self._check_hidden(text, back, messages, True, assistant)
        return self._special.encode(text, [], back).ids

    def encode(self, messages: Sequence[Message], *, last_only: bool = False, assistant: str = ASSISTANT) -> ChatIds:
        """Return ids and targets: what the assistant says and what ends it, in all its messages or in the last one only.

        Targets are what the template's generation tags enclose. Without tags they are what each answer adds to the text that ends
        with the generation prompt before it, up to the last special token if only blanks follow that. `assistant` is written as
        the assistant's role name; a special token given there becomes its id, while names of special tokens in messages stay text.

        Raises `DataError` when a message or the conversation is not as the template wants it, and `UsageError` when the template
        is at fault: it does not know `assistant_name`, or shows earlier messages otherwise once there are later ones.
        """
        messages = self._prepared(messages)
        hidden, back = self._special.hide(messages, self.template)
        whole = self._render(hidden, False, assistant)
        answers = [index for index, message in enumerate(hidden) if message["role"] == ASSISTANT]
        if not answers:
            spans: list[Span] = []
        elif not self._template.marks_answers:
            spans = [self._added(hidden, index, whole.text, assistant) for index in (answers[-1:] if last_only else answers)]
        elif last_only and answers[0] != answers[-1]:
            spans = whole.spans[len(self._render(hidden[: answers[-1]], False, assistant).spans) :]
        else:
            spans = whole.spans
        self._check_hidden(whole.text, back, messages, False, assistant)
        return self._special.encode(whole.text, spans, back)

    def _prepared(self, messages: Sequence[Message]) -> Sequence[Message]:
        _check_messages(messages)
        if self._system is None or messages[0]["role"] == "system":
            return messages
        return [{"role": "system", "content": self._system}, *messages]

    def _render(self, messages: Sequence[Message], add_generation_prompt: bool, assistant: str = ASSISTANT) -> Rendered:
        variables: dict[str, Any] = {
            "bos_token": self.bos_token,
            "eos_token": self.eos_token,
            "add_generation_prompt": add_generation_prompt,
        }
        if assistant != ASSISTANT:
            if _SPEAKER not in self._template.variables:
                raise UsageError(
                    f"chat template {self._template.name} cannot call the assistant {assistant!r}: it does not use the variable "
                    f"{_SPEAKER}; write {{{{ {_SPEAKER} | default('{ASSISTANT}') }}}} for the role of an answer, or choose one of "
                    f"{', '.join(SHIPPED)}"
                )
            variables[_SPEAKER] = assistant
        return self._template.render(messages, variables)

    def _check_hidden(self, text: str, back: dict[int, str], messages: Sequence[Message], prompt: bool, assistant: str) -> None:
        """Refuse a conversation whose text depends on a special name within it, as it was read without."""
        if back and text.translate(back) != self._render(messages, prompt, assistant).text:
            raise DataError(
                f"chat template {self._template.name} treats the name of a special token in a message as more than text; "
                "such a conversation cannot be told from a forged one"
            )

    def _added(self, messages: Sequence[Message], index: int, whole: str, assistant: str) -> Span:
        """Return the span of characters that one answer adds to the prompt before it."""
        prompt = self._render(messages[:index], True, assistant).text if index else ""
        is_last = index == len(messages) - 1
        answered = whole if is_last else self._render(messages[: index + 1], False, assistant).text
        if not (answered.startswith(prompt) and whole.startswith(answered)):
            raise UsageError(
                f"chat template {self._template.name} writes what comes before message {index + 1} otherwise once there are later "
                "messages, so where the answer stands cannot be told; put {% generation %} and {% endgeneration %} around what the "
                "assistant says, or train on conversations of one answer"
            )
        end = len(answered)
        for match in self._special.pattern.finditer(answered, len(prompt)):
            if not answered[match.end() :].strip():
                end = match.end()
        return len(prompt), end

    def _stop_ids(self) -> tuple[int, ...]:
        try:
            text = self._render(self._prepared(_PROBE), False).text
        except DataError as error:
            raise UsageError(f"chat.template: a conversation of one question and one answer cannot be written: {error}") from error
        content = _PROBE[-1]["content"]
        _, found, rest = text.rpartition(content)
        if not found:
            raise UsageError(f"chat template {self._template.name} leaves the answer {content!r} out of the text {text!r}")
        end = self._special.pattern.match(rest.lstrip())
        ids = (self._tokenizer.eos_id, *((self._tokenizer.special[end[0]],) if end else ()))
        return tuple(dict.fromkeys(ids))


def load_chat_format(
    name: str,
    tokenizer: Tokenizer,
    *,
    base: Path,
    folder: Path | None = None,
    system: str | None = None,
    now: datetime | None = None,
) -> ChatFormat:
    """Return the chat format of a recipe.

    `name` is a shipped template (chatml, zephyr, plain), a Jinja file relative to `base`, or `tokenizer`: what lies beside an
    imported vocabulary in `folder`. `now` is the time that templates are told (`strftime_now`); by default that of this call, so
    that all conversations of one format have the same. Raises `UsageError` when there is no such template, when it does not compile
    or render, or when the vocabulary lacks special tokens that a shipped one needs.
    """
    if missing := [token for token in SHIPPED.get(name, ()) if token not in tokenizer.special]:
        raise UsageError(
            f"chat.template: {name} writes {' and '.join(missing)}, which are no special tokens of the vocabulary; choose plain or "
            "zephyr, which need only its end of text, or a vocabulary with these tokens"
        )
    template = ChatTemplate(_source(name, base, folder), name, now or datetime.now())
    return ChatFormat(template, tokenizer, system)


def _source(name: str, base: Path, folder: Path | None) -> str:
    if name == "tokenizer":
        return _brought_along(folder)
    path = _TEMPLATES / f"{name}.jinja" if name in SHIPPED else base / name
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        shipped = ", ".join(SHIPPED)
        raise UsageError(
            f"chat.template: {name!r} is neither one of {shipped}, tokenizer nor a file that can be read: {error}"
        ) from error


def _brought_along(folder: Path | None) -> str:
    """Return the template beside a vocabulary: a file of its own, or in tokenizer_config.json, there perhaps one of several."""
    if folder is not None and (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    config = folder / "tokenizer_config.json" if folder is not None else None
    if config is not None and config.is_file():
        try:
            values = orjson.loads(config.read_bytes())
        except orjson.JSONDecodeError as error:
            raise UsageError(f"chat.template: {config} is not JSON: {error}") from error
        found = values.get("chat_template") if isinstance(values, dict) else None
        if isinstance(found, list):
            found = {str(item.get("name")): item.get("template") for item in found if isinstance(item, dict)}
        if isinstance(found, dict):
            if "default" not in found:
                raise UsageError(f"chat.template: {config} has the templates {', '.join(found)}, but none that is called default")
            found = found["default"]
        if isinstance(found, str):
            return found
    raise UsageError(
        f"chat.template: the vocabulary brings no template along: no chat_template.jinja, and no chat_template in "
        f"tokenizer_config.json; choose {', '.join(SHIPPED)}, or a Jinja file"
    )


def _check_messages(messages: Sequence[Message]) -> None:
    """Raise `DataError` unless each message has a known role and a text, and nothing else."""
    if not messages:
        raise DataError("the conversation has no messages")
    for number, message in enumerate(messages, 1):
        if message.keys() != {"role", "content"}:
            raise DataError(f"message {number} has the fields {', '.join(map(repr, message))}; a message is role and content")
        if message["role"] not in _ROLES:
            raise DataError(f"message {number} has the role {message['role']!r}; roles are {', '.join(_ROLES)}")
        if not isinstance(message["content"], str):
            raise DataError(f"message {number} has a content of the type {type(message['content']).__name__}; it must be text")


def _literal(text: str) -> str:
    """Return a string as Jinja reads it; its escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)
