"""mlx-lm with a folder open, as its users run it."""

import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from pellucid.core.errors import ArtifactError, MissingExtraError
from pellucid.export.runtimes.folder_text import FolderText
from pellucid.export.runtimes.log_softmax import log_softmax
from pellucid.export.runtimes.stepping import Stepped
from pellucid.export.runtimes.strangers import check_folder

__all__ = ["MlxRuntime"]


class MlxRuntime(FolderText):
    """A folder that mlx-lm has open, on the device that MLX chooses: the GPU of an Apple chip, else the CPU.

    Raises `MissingExtraError` without the package mlx-lm, `ArtifactError` when it does not take the folder.
    """

    name = "MLX"

    def __init__(self, folder: Path) -> None:
        try:
            import mlx.core
            import mlx_lm
        except ImportError as error:
            raise MissingExtraError("mlx-lm", "mlx", "running an MLX export") from error
        if not (folder / "config.json").is_file():
            # A folder that is not there would be looked for on the network.
            raise ArtifactError(f"{folder} is no MLX export: config.json is missing")
        check_folder(folder)
        self._mx = mlx.core
        self.version = f"{metadata.version('mlx')}, mlx-lm {metadata.version('mlx-lm')}"
        started = time.perf_counter()
        try:
            self._model, self._answering = mlx_lm.load(str(folder))[:2]
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"mlx-lm does not load {folder}: {error}") from error
        super().__init__(self._answering._tokenizer)
        self.load_s = time.perf_counter() - started

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        del self._model
        self._mx.clear_cache()

    @property
    def device(self) -> str:
        """Where it computes: "cpu" or "gpu"."""
        return str(self._mx.default_device().type).rpartition(".")[2]

    def stop_ids(self) -> frozenset[int]:
        """Return the ids at which mlx-lm ends an answer."""
        return frozenset(self._answering.eos_token_ids)

    def log_probabilities(self, ids: Sequence[int]) -> npt.NDArray[np.float64]:
        """Return natural logs of the next token's probabilities after each of `ids`, [T, V]."""
        logits_BTV = self._model(self._mx.array([list(ids)])).astype(self._mx.float32)
        return log_softmax(np.array(logits_BTV[0]))

    def generate(self, ids: Sequence[int], new_tokens: int) -> str:
        """Return the text that mlx-lm writes after `ids`, each token the likeliest, up to an end of answer."""
        import mlx_lm

        text: str = mlx_lm.generate(self._model, self._answering, list(ids), max_tokens=new_tokens)
        return text

    def steps(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Stepped:
        """Let sequences of one length go on, greedily; see `Stepping`."""
        from mlx_lm.models.cache import make_prompt_cache

        started = time.perf_counter()
        held = make_prompt_cache(self._model)
        ids_BT = self._mx.array([list(ids) for ids in prompts])
        at_s, new = [], []
        for _ in range(new_tokens):
            ids_BT = self._mx.argmax(self._model(ids_BT, cache=held)[:, -1], axis=-1, keepdims=True)
            self._mx.eval(ids_BT)
            at_s.append(time.perf_counter() - started)
            new.append(ids_BT)
        return Stepped(at_s, np.array(self._mx.concatenate(new, axis=1)).tolist())
