"""The proof that an export converses as training did: conversations become the same ids in its runtime, and answers end there."""

from collections.abc import Callable, Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import Any

from pellucid.core.errors import ArtifactError, DataError
from pellucid.export.llama_cpp import LlamaCpp
from pellucid.export.probes import probe_conversations
from pellucid.tokenizer.chat import ChatFormat
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["check_gguf_chat", "check_hf_chat"]

Message = dict[str, str]


def check_hf_chat(folder: Path, chat: ChatFormat, tokenizer: Tokenizer) -> dict[str, Any]:
    """Compare a folder's `apply_chat_template` with the chat format; return how many conversations get equal ids.

    Without transformers nothing is compared, and the result says so. Raises `ArtifactError` at a difference, where the
    vocabulary is bound to be read alike.
    """
    if util.find_spec("transformers") is None:
        return {"conversations_with_equal_ids": None}
    import transformers

    theirs = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def render(messages: Sequence[Message], prompt: bool) -> list[int]:
        ids: Any = theirs.apply_chat_template(list(messages), add_generation_prompt=prompt, return_dict=False)
        return list(ids)

    return _compare(f"{folder} in transformers", render, chat, tokenizer, exact=tokenizer.exact_in_transformers)


def check_gguf_chat(path: Path, chat: ChatFormat, tokenizer: Tokenizer, context_tokens: int) -> dict[str, Any]:
    """Compare llama.cpp's rendering of a file's template with the chat format, and see that each stop id ends an answer there.

    llama.cpp puts a space after every special token where SentencePiece puts one before a text; differences of such vocabularies
    are counted, those of others raise `ArtifactError`.
    """
    with LlamaCpp(path, context_tokens) as runtime:
        result = _compare(
            f"{path} in llama.cpp",
            lambda messages, prompt: runtime.tokenize(runtime.render(messages), parse_special=True),
            chat,
            tokenizer,
            exact=tokenizer.vocabulary().model == "gpt2",
            whole=False,
        )
        for id_ in chat.stop_ids:
            if not runtime.ends_at(id_):
                raise ArtifactError(f"{path} in llama.cpp: an answer does not end at the id {id_}, which ends it in training")
    return result


def _compare(
    what: str,
    render: Callable[[Sequence[Message], bool], list[int]],
    chat: ChatFormat,
    tokenizer: Tokenizer,
    *,
    exact: bool,
    whole: bool = True,
) -> dict[str, Any]:
    """Count conversations with equal ids, up to an answer and (`whole`) with one; what the template does not allow is left out."""
    equal = compared = 0
    for messages in probe_conversations(tokenizer):
        for spoken, prompt in ((messages, True), ([*messages, {"role": "assistant", "content": "42."}], False))[: 1 + whole]:
            try:
                ours = list(chat.prompt(spoken) if prompt else chat.encode(spoken).ids)
            except DataError:
                continue  # a template without a system prompt
            found = list(render(spoken, prompt))
            compared += 1
            equal += found == ours
            if exact and found != ours:
                raise ArtifactError(f"{what} reads the conversation {_shown(spoken)} as the ids {found}, training as {ours}")
    if not compared:
        raise ArtifactError(f"{what}: the chat template allows none of the conversations that were tried")
    return {"conversations_with_equal_ids": equal} | ({} if exact else {"conversations_compared": compared})


def _shown(messages: Sequence[Mapping[str, str]]) -> str:
    return repr([f"{message['role']}: {message['content'][:40]}" for message in messages])
