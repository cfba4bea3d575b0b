"""llama.cpp itself, as users run it: a GGUF file opened by its server, asked over the server's own interface."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pellucid.core.errors import ArtifactError, MissingExtraError

__all__ = ["LlamaCpp"]

_ANSWER_S = 600


class LlamaCpp:
    """A context in which llama.cpp has `path` open, on one thread, with float32 keys and values so that nothing else is rounded.

    Raises `MissingExtraError` without the package xllamacpp, `ArtifactError` when llama.cpp does not take the file.
    """

    def __init__(self, path: Path, context_tokens: int) -> None:
        xllamacpp = _xllamacpp()
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = context_tokens
        params.n_parallel = 1
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = 1
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.warmup = False
        params.verbosity = -1
        self.version = str(xllamacpp.__version__)
        # The server listens on this machine only; a proxy in the environment must not get in between.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise ArtifactError(f"llama.cpp does not load {path}: {error}") from error
        # It takes requests before its own loop runs, and closed before that it waits for ever. Only the loop answers this one.
        self._complete(self.tokenize("a"), n_predict=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # Dropping the server ends its threads and frees the model.
        del self._server

    def tokenize(self, text: str, *, parse_special: bool = False) -> list[int]:
        """Return llama.cpp's ids of a text, no special tokens added, and none recognised unless `parse_special`."""
        ids: list[int] = self._post("/tokenize", {"content": text, "add_special": False, "parse_special": parse_special})["tokens"]
        return ids

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return the text of a conversation by the file's chat template, up to where the assistant is to speak."""
        text: str = self._post("/apply-template", {"messages": list(messages)})["prompt"]
        return text

    def ends_at(self, id_: int) -> bool:
        """Tell whether an answer ends when the model chooses this token."""
        return bool(self._complete(self.tokenize("a"), n_predict=2, logit_bias=[[id_, 1e6]]).get("stop_type") == "eos")

    def log_probabilities(self, ids: Sequence[int], vocab_tokens: int) -> npt.NDArray[np.float64]:
        """Return the natural logs of the next token's probabilities after `ids`, [V]: the logits less their log-sum-exp."""
        # The server only answers with probabilities beside text that it can show: not for an end of text, nor for half a
        # character. So the choice is made for it. That acts on the sampler, not on the probabilities, which come before it.
        harmless = [[self.tokenize("a")[0], 1e6]]
        answer = self._complete(ids, n_predict=1, n_probs=vocab_tokens, logit_bias=harmless)
        found_V = np.full(vocab_tokens, np.nan)
        for entry in answer["completion_probabilities"][0]["top_logprobs"]:
            found_V[entry["id"]] = entry["logprob"]
        return found_V

    def generate(self, ids: Sequence[int], new_tokens: int) -> str:
        """Return the text of `new_tokens` tokens after `ids`, each the likeliest that is not the end of text."""
        text: str = self._complete(ids, n_predict=new_tokens, ignore_eos=True)["content"]
        return text

    def _complete(self, ids: Sequence[int], **settings: Any) -> dict[str, Any]:
        return self._post("/completion", {"prompt": list(ids), "temperature": 0.0, **settings})

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self._server.listening_address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with self._opener.open(request, timeout=_ANSWER_S) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            raise ArtifactError(f"llama.cpp answers {path} with {error.code}: {_told(error.read())}") from error
        return answer


def _told(body: bytes) -> str:
    """Return the message of an answer that says what is wrong, as one line."""
    try:
        message = str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace")
    return " ".join(message.split())[:500]


def _xllamacpp() -> Any:
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingExtraError("xllamacpp", "gguf", "running a GGUF file") from error
    return xllamacpp
