"""What is compared beside the certificate: an adapter on the weights below it, and plain calls of a folder's tokenizer."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pellucid.adapters.peft_format import load_peft
from pellucid.checkpoint.models import load_weights
from pellucid.core.errors import ArtifactError
from pellucid.export.known_readings import other_splits
from pellucid.export.probes import probe_texts
from pellucid.model.decoder import Decoder
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["HF_LIMIT", "check_peft", "check_plain_call", "probe_sequences"]

# Largest difference of a logit.
HF_LIMIT = 1e-4


def probe_sequences(tokenizer: Tokenizer, context_tokens: int) -> list[list[int]]:
    """Return token sequences for comparing logits: the probe texts as documents in a row, three cuts of ≤ 64 tokens, one of ≤ 512.

    They are spread over all texts, so that every language and code take part, and leave room in the context for a new token.
    """
    ids = [token for text in probe_texts() for token in [tokenizer.eos_id, *tokenizer.encode(text)]]
    lengths = [min(length, context_tokens - 1) for length in (64, 64, 64, 512)]
    starts = [place * len(ids) // len(lengths) for place in range(len(lengths))]
    return [ids[start : start + length] for start, length in zip(starts, lengths, strict=True)]


def check_peft(folder: Path, base: Path, model: Decoder, tokenizer: Tokenizer) -> dict[str, Any]:
    """Put an adapter in peft's format on the weights in a Hugging Face folder, `base`; compare logits with the merged `model`.

    Without peft and transformers both are read back into our own decoder, and the result says so. Raises `ArtifactError` when a
    logit is off by more than `HF_LIMIT`.
    """
    has_peft = all(util.find_spec(package) is not None for package in ("peft", "transformers"))
    if has_peft:
        loaded_with, logits_of = f"peft {metadata.version('peft')}", _in_peft(folder, base)
    else:
        loaded_with = "Pellucid's own decoder (peft is not installed)"
        again = Decoder(model.config)
        load_weights(again, base)
        load_peft(again, folder)
        logits_of = partial(_logits, again)
    sequences = probe_sequences(tokenizer, model.config.context_tokens)
    differences = np.concatenate([(logits_of(ids) - _logits(model, ids)).abs().amax(-1).numpy() for ids in sequences])
    result = {"file": folder.name, "loaded_with": loaded_with}
    return _judged(f"{folder} in {loaded_with}", result, differences, HF_LIMIT)


def _judged(what: str, result: dict[str, Any], differences: npt.NDArray[np.floating], limit: float) -> dict[str, Any]:
    """Add the largest difference over all positions to the result, or refuse it. A value that is not a number is refused too."""
    largest = float(differences.max())
    if not largest <= limit:
        raise ArtifactError(f"{what} gives other logits than the checkpoint: they differ by up to {largest:.3g}, limit {limit:g}")
    return {**result, "positions": len(differences), "largest_logit_difference": largest, "limit": limit}


def _in_peft(folder: Path, base: Path) -> Callable[[Sequence[int]], Tensor]:
    import peft
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    below = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True)
    return partial(_their_logits, peft.PeftModel.from_pretrained(below, str(folder)).train(False))


def _their_logits(loaded: Any, ids: Sequence[int]) -> Tensor:
    with torch.inference_mode():
        logits_TV: Tensor = loaded(torch.tensor([list(ids)])).logits[0]
    return logits_TV


def check_plain_call(folder: Path, tokenizer: Tokenizer) -> None:
    """Raise `ArtifactError` where transformers ends texts with another token than training did, or adds tokens to a text."""
    import transformers

    loaded = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if loaded.eos_token_id != tokenizer.eos_id:
        raise ArtifactError(
            f"{folder} in transformers: its end of text is {loaded.eos_token!r}, id {loaded.eos_token_id}; training put id "
            f"{tokenizer.eos_id} between documents"
        )
    is_known = other_splits(tokenizer)
    for text in probe_texts():
        # By their rules, the name of a special token in a text is that token.
        if any(name in text for name in tokenizer.special):
            continue
        called, own = loaded(text)["input_ids"], loaded(text, add_special_tokens=False)["input_ids"]
        ours = tokenizer.encode(text)
        if called != own or (called != ours and not is_known(text, ours, called)):
            raise ArtifactError(
                f"{folder} in transformers: a plain call reads {text!r} as {called}, training as {ours}; "
                "something adds tokens to texts"
            )


def _logits(model: Decoder, ids: Sequence[int]) -> Tensor:
    with torch.inference_mode():
        logits_TV: Tensor = model.logits(model(torch.tensor([list(ids)])))[0].float()
    return logits_TV
