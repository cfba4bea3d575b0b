"""transformers as a runtime of the certificate: a folder that `AutoModelForCausalLM` and `AutoTokenizer` open."""

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from pellucid.core.errors import ArtifactError, MissingExtraError
from pellucid.core.files import read_json
from pellucid.export.remarks import IMPORTED, without_remarks
from pellucid.export.runtimes.folder_text import FolderText
from pellucid.export.runtimes.log_softmax import log_softmax
from pellucid.export.runtimes.stepping import Stepped
from pellucid.export.runtimes.strangers import check_folder

__all__ = ["TransformersRuntime"]


class TransformersRuntime(FolderText):
    """A `Runtime`: a Hugging Face folder in transformers, from local files only and without code of the folder's own.

    `dtype` is the type it computes in: float32, so that only the weights' own rounding is seen; "auto" for folders whose
    quantised layers say it themselves. `device` is the one it computes on: "cpu" or "cuda".
    """

    name = "transformers"

    def __init__(self, folder: Path, *, dtype: str = "float32", device: str = "cpu") -> None:
        try:
            import transformers
        except ImportError as error:
            raise MissingExtraError("transformers", "hf", "running a Hugging Face folder") from error
        # Its bar over a file of a few megabytes would break into ours.
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        check_folder(folder)
        started = time.perf_counter()
        self.version = str(transformers.__version__)
        kind = dtype if dtype == "auto" else getattr(torch, dtype)
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        placed: dict[str, Any] = {"device_map": {"": device}} if torch.cuda.is_available() and _is_quantised(folder) else {}
        try:
            # What we write is safetensors; a pickle that lies beside it, or in its place, is not opened.
            with without_remarks(*IMPORTED):
                opened = transformers.AutoModelForCausalLM.from_pretrained(
                    folder, dtype=kind, use_safetensors=True, **placed, **options
                )
            # Some quantised layers cannot be moved, not even to where they are: they were loaded to their place.
            self._model: Any = opened.train(False) if opened.device.type == device else opened.train(False).to(device)
            super().__init__(transformers.AutoTokenizer.from_pretrained(folder, **options))
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, MemoryError) as error:
            raise ArtifactError(f"transformers {self.version} does not load {folder}: {error}") from error
        except Exception as error:
            # safetensors has an exception class of its own, which derives from Exception alone.
            if type(error).__name__ != "SafetensorError":
                raise
            raise ArtifactError(f"transformers {self.version} does not load {folder}: {error}") from error
        self.load_s = time.perf_counter() - started
        # It says at every multiplication that it rounds to float16, which is how LLM.int8 works.
        self._quiet = without_remarks("bitsandbytes")
        self._quiet.__enter__()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._quiet.__exit__(kind, error, trace)
        del self._model

    @property
    def device(self) -> str:
        """Where it computes, as torch names it: "cpu", "cuda:0"."""
        return str(self._model.device)

    def stop_ids(self) -> frozenset[int]:
        """Return the ids at which `generate` ends by the folder's generation config."""
        ends: Any = self._model.generation_config.eos_token_id
        return frozenset([] if ends is None else [ends] if isinstance(ends, int) else ends)

    def log_probabilities(self, ids: Sequence[int]) -> npt.NDArray[np.float64]:
        """Return natural logs of the next token's probabilities after each of `ids`, [T, V]."""
        with torch.inference_mode():
            logits_TV = self._model(torch.tensor([list(ids)], device=self._model.device)).logits[0].float().cpu().numpy()
        return log_softmax(logits_TV)

    def steps(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Stepped:
        """Let sequences of one length go on by `generate`, greedily; see `Stepping`."""
        import transformers

        at_s: list[float] = []

        class Clock(transformers.StoppingCriteria):
            def __call__(self, input_ids: torch.Tensor, scores: Any, **options: Any) -> torch.Tensor:
                if input_ids.is_cuda:
                    torch.cuda.synchronize(input_ids.device)  # what was asked for is there only now
                at_s.append(time.perf_counter())
                return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)

        ids_BT = torch.tensor([list(ids) for ids in prompts], device=self._model.device)
        settings = transformers.GenerationConfig(max_new_tokens=new_tokens, do_sample=False, pad_token_id=0)  # type: ignore[no-untyped-call]
        started = time.perf_counter()
        self._model.generation_config.eos_token_id = None
        found_BT = self._model.generate(
            ids_BT, generation_config=settings, attention_mask=torch.ones_like(ids_BT), stopping_criteria=[Clock()]
        )
        return Stepped([moment - started for moment in at_s], found_BT[:, ids_BT.shape[1] :].tolist())


def _is_quantised(folder: Path) -> bool:
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    return isinstance(config, dict) and "quantization_config" in config
