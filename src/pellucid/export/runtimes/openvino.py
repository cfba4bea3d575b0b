"""OpenVINO with a folder open, on the CPU."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pellucid.core.errors import ArtifactError, MissingExtraError
from pellucid.core.files import read_json
from pellucid.export.no_telemetry import without_openvino_telemetry
from pellucid.export.openvino import GRAPH
from pellucid.export.runtimes.folder_text import FolderText, open_tokenizer
from pellucid.export.runtimes.log_softmax import log_softmax
from pellucid.export.runtimes.stepping import Stepped
from pellucid.export.runtimes.strangers import check_folder

__all__ = ["EXACT", "OpenVinoRuntime"]

EXACT: Mapping[str, Any] = MappingProxyType(
    {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
)
"""Settings by which nothing is rounded but the weights; without them OpenVINO chooses by the processor."""


class OpenVinoRuntime(FolderText):
    """A folder that OpenVINO has open, with `settings` for its CPU plug-in.

    Raises `MissingExtraError` without the packages openvino or transformers, `ArtifactError` when it does not take the folder.
    """

    name = "OpenVINO"

    def __init__(self, folder: Path, settings: Mapping[str, Any] = EXACT) -> None:
        without_openvino_telemetry()
        try:
            import openvino
            import transformers  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(error.name or "openvino", "openvino", "running an OpenVINO export") from error
        if not (folder / GRAPH).is_file():
            raise ArtifactError(f"{folder} is no OpenVINO export: {GRAPH} is missing")
        check_folder(folder)
        self.version = str(openvino.__version__)
        started = time.perf_counter()
        try:
            compiled = openvino.Core().compile_model(folder / GRAPH, "CPU", dict(settings))
            compiled.output("logits")
            self._request = compiled.create_infer_request()
        except RuntimeError as error:
            raise ArtifactError(f"OpenVINO does not load {folder}: {error}") from error
        super().__init__(open_tokenizer(folder))
        self._generation = read_json(folder / "generation_config.json")
        self.load_s = time.perf_counter() - started
        self._held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        del self._request

    def stop_ids(self) -> frozenset[int]:
        """Return the ids at which the folder's generation config ends an answer."""
        ends = self._generation["eos_token_id"]
        return frozenset(ends if isinstance(ends, list) else [ends])

    def log_probabilities(self, ids: Sequence[int]) -> npt.NDArray[np.float64]:
        """Return natural logs of the next token's probabilities after each of `ids`, [T, V]."""
        self._request.reset_state()
        self._held = 0
        return self.further(ids)

    def further(self, ids: Sequence[int]) -> npt.NDArray[np.float64]:
        """As `log_probabilities`, of ids that follow all those given since it was last called; their keys and values are held."""
        ids_BT = np.array([list(ids)], dtype=np.int64)
        end = self._held + ids_BT.shape[1]
        inputs = {
            "input_ids": ids_BT,
            "attention_mask": np.ones((1, end), dtype=np.int64),
            "position_ids": np.arange(self._held, end, dtype=np.int64)[None],
            "beam_idx": np.zeros(1, dtype=np.int32),
        }
        logits_TV = self._request.infer(inputs)["logits"][0]
        self._held = end
        return log_softmax(logits_TV)

    def steps(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Stepped:
        """Let sequences of one length go on, greedily; see `Stepping`. The graph computes the logits of every token of a prompt."""
        started = time.perf_counter()
        self._request.reset_state()
        ids_BT = np.array([list(ids) for ids in prompts], dtype=np.int64)
        end, at_s, new = 0, [], []
        for _ in range(new_tokens):
            start, end = end, end + ids_BT.shape[1]
            inputs = {
                "input_ids": ids_BT,
                "attention_mask": np.ones((len(prompts), end), dtype=np.int64),
                "position_ids": np.tile(np.arange(start, end, dtype=np.int64), (len(prompts), 1)),
                "beam_idx": np.arange(len(prompts), dtype=np.int32),
            }
            ids_BT = self._request.infer(inputs, share_inputs=True, share_outputs=True)["logits"][:, -1].argmax(1)[:, None]
            at_s.append(time.perf_counter() - started)
            new.append(ids_BT[:, 0])
        return Stepped(at_s, np.stack(new, axis=1).tolist())
