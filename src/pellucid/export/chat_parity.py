"""A folder converses in transformers as training did: conversations become the same ids, up to an answer and with one."""

from collections.abc import Callable, Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import Any

from pellucid.core.errors import ArtifactError, DataError
from pellucid.export.known_readings import other_splits
from pellucid.export.probes import probe_conversations
from pellucid.tokenizer.chat import ChatFormat
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["check_hf_chat"]

Message = dict[str, str]


def check_hf_chat(folder: Path, chat: ChatFormat, tokenizer: Tokenizer) -> dict[str, Any]:
    """Compare a folder's `apply_chat_template` with the chat format; return how many conversations get equal ids.

    Without transformers nothing is compared, and the result says so. Raises `ArtifactError` at a difference that
    `other_splits` does not know.
    """
    if util.find_spec("transformers") is None:
        return {"conversations_with_equal_ids": None}
    import transformers

    theirs = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def render(messages: Sequence[Message], prompt: bool) -> list[int]:
        ids: Any = theirs.apply_chat_template(
            list(messages), add_generation_prompt=prompt, return_dict=False, tokenizer_kwargs={"verbose": False}
        )
        return list(ids)

    return _compare(f"{folder} in transformers", render, chat, tokenizer)


def _compare(
    what: str,
    render: Callable[[Sequence[Message], bool], list[int]],
    chat: ChatFormat,
    tokenizer: Tokenizer,
) -> dict[str, Any]:
    """Count conversations with equal ids, up to an answer and with one; what the template does not allow is left out."""
    equal = compared = 0
    is_known = other_splits(tokenizer)
    for messages in probe_conversations(tokenizer):
        for spoken, prompt in ((messages, True), ([*messages, {"role": "assistant", "content": "42."}], False)):
            try:
                ours = list(chat.prompt(spoken) if prompt else chat.encode(spoken).ids)
            except DataError:
                continue  # a template without a system prompt
            found = list(render(spoken, prompt))
            compared += 1
            equal += found == ours
            if found != ours and not is_known(_contents(spoken), ours, found):
                raise ArtifactError(f"{what} reads the conversation {_shown(spoken)} as the ids {found}, training as {ours}")
    if not compared:
        raise ArtifactError(f"{what}: the chat template allows none of the conversations that were tried")
    return {"conversations_with_equal_ids": equal} | ({} if equal == compared else {"conversations_compared": compared})


def _contents(messages: Sequence[Mapping[str, str]]) -> str:
    return "\n".join(message["content"] for message in messages)


def _shown(messages: Sequence[Mapping[str, str]]) -> str:
    return repr([f"{message['role']}: {message['content'][:40]}" for message in messages])
