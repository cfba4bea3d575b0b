"""How programs that read texts with transformers' tokenizers read them: the files beside the weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from pellucid.core.errors import ArtifactError, DataError
from pellucid.export.runtimes.runtime import Message
from pellucid.export.runtimes.strangers import check_rendering

__all__ = ["FolderText", "open_tokenizer"]


def open_tokenizer(folder: Path) -> Any:
    """Return transformers' tokenizer of a folder; raise `ArtifactError` when it does not take the files."""
    import transformers

    try:
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"transformers does not read the tokenizer in {folder}: {error}") from error


class FolderText:
    """The part of a `Runtime` that reads texts, for programs that do it with transformers' tokenizer in the folder."""

    def __init__(self, tokenizer: Any) -> None:
        self._text = tokenizer

    def encode(self, text: str) -> list[int]:
        """Return the ids of a raw text: no token added, and the name of a special token read as text."""
        return list(self._text(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"])

    def encode_plain(self, text: str) -> list[int]:
        """Return the ids of a text by a plain call of the tokenizer, with the tokens that the folder has it add."""
        return list(self._text(text, verbose=False)["input_ids"])

    def encode_chat(self, messages: Sequence[Message]) -> list[int] | None:
        """Return the ids of a conversation up to where the assistant is to speak; None when the folder has no template.

        Raises `DataError` for a conversation that the template refuses.
        """
        if not self._text.chat_template:
            return None
        given = [dict(message) for message in messages]
        try:
            check_rendering(self._text.chat_template, messages)
            # Without a remark on conversations that are longer than the model's context, which nobody runs here.
            quiet = {"verbose": False}
            ids: Any = self._text.apply_chat_template(given, add_generation_prompt=True, return_dict=False, tokenizer_kwargs=quiet)
            return list(ids)
        except jinja2.TemplateError as error:
            raise DataError(f"the folder's chat template refuses the conversation: {error}") from error

    @property
    def eos_id(self) -> int | None:
        """The end of text of the folder's tokenizer."""
        id_: int | None = self._text.eos_token_id
        return id_
