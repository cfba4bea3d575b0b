"""The proof that an export is the checkpoint it came from: loaded again by its own runtime, and compared with the model."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor

from pellucid.adapters.peft_format import load_peft
from pellucid.checkpoint.hf_folder import weight_files
from pellucid.checkpoint.models import load_weights
from pellucid.core.errors import ArtifactError
from pellucid.export.gguf import GgufType
from pellucid.export.hf import HfType
from pellucid.export.llama_cpp import LlamaCpp
from pellucid.export.probes import probe_texts
from pellucid.model.decoder import Decoder
from pellucid.model.hf_names import from_hf
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer

__all__ = ["GGUF_LIMITS", "HF_LIMIT", "check_gguf", "check_hf", "check_peft", "check_plain_call", "probe_sequences"]

# Largest difference of a logit, where logits reach no further than `USUAL_LOGIT`: rounding grows with what is rounded, so beyond
# that the limits grow in proportion. F16: llama.cpp also rounds what it multiplies the weights with.
USUAL_LOGIT = 5.0
HF_LIMIT = 1e-4
GGUF_LIMITS: dict[GgufType, float] = {"F32": 1e-4, "F16": 2e-2}

_PROMPT_TOKENS = 4
_GENERATED_TOKENS = 8


def probe_sequences(tokenizer: Tokenizer, context_tokens: int) -> list[list[int]]:
    """Return token sequences for comparing logits: the probe texts as documents in a row, three cuts of ≤ 64 tokens, one of ≤ 512.

    They are spread over all texts, so that every language and code take part, and leave room in the context for a new token.
    """
    ids = [token for text in probe_texts() for token in [tokenizer.eos_id, *tokenizer.encode(text)]]
    lengths = [min(length, context_tokens - 1) for length in (64, 64, 64, 512)]
    starts = [place * len(ids) // len(lengths) for place in range(len(lengths))]
    return [ids[start : start + length] for start, length in zip(starts, lengths, strict=True)]


def check_hf(folder: Path, model: Decoder, tokenizer: Tokenizer, *, dtype: HfType = "float32") -> dict[str, Any]:
    """Load a Hugging Face folder again and compare ids and logits with the checkpoint's; return what was compared.

    With transformers, both its model and its tokenizer are compared, its end of text, and that a plain call adds nothing. Without,
    the weights are read back into our own decoder and the tokenizer into our own class, and the result says so. `dtype` is the type
    the weights were written in: they are compared with the checkpoint's weights rounded to it. Raises `ArtifactError` when ids
    differ or a logit is off by more than `HF_LIMIT`, in proportion.
    """
    reference = _rounded(model, dtype)
    has_transformers = util.find_spec("transformers") is not None
    if has_transformers:
        loaded_with = f"transformers {metadata.version('transformers')}"
    else:
        loaded_with = "safetensors and Pellucid's own decoder (transformers is not installed)"
    logits_of, encode = _in_transformers(folder) if has_transformers else _reloaded(folder, model)
    result = {
        "file": folder.name,
        "loaded_with": loaded_with,
        **_compare_ids(loaded_with, encode, tokenizer, exact=tokenizer.exact_in_transformers),
    }
    if has_transformers:
        check_plain_call(folder, tokenizer)
    sequences = probe_sequences(tokenizer, model.config.context_tokens)
    ours = [_logits(reference, ids) for ids in sequences]
    differences = np.concatenate(
        [(logits_of(ids) - logits_TV).abs().amax(-1).numpy() for ids, logits_TV in zip(sequences, ours, strict=True)]
    )
    return _judged(f"{folder} in {loaded_with}", result, differences, HF_LIMIT * _scale(ours))


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


def check_gguf(path: Path, model: Decoder, tokenizer: Tokenizer, *, dtype: GgufType, positions: int = 24) -> dict[str, Any]:
    """Run a GGUF file in llama.cpp and compare ids and logits with the checkpoint's; return what was compared.

    llama.cpp's interface gives log-probabilities, which are logits less their log-sum-exp; so ours are compared in that form, over
    the whole vocabulary, after each of `positions` contexts. Also asks for a few generated tokens. Raises `MissingExtraError`
    without xllamacpp, and `ArtifactError` when the file does not load, ids differ or a value is off by more than its limit.
    """
    config = model.config
    sequences = probe_sequences(tokenizer, config.context_tokens)
    each = max(1, positions // len(sequences))
    differences, divergences, ours = [], [], []
    with LlamaCpp(path, config.context_tokens) as runtime:
        loaded_with = f"llama.cpp (xllamacpp {runtime.version})"
        result = {"file": path.name, "loaded_with": loaded_with, **_compare_ids(loaded_with, runtime.tokenize, tokenizer)}
        for ids in sequences:
            ours.append(_logits(model, ids))
            ours_TV = torch.log_softmax(ours[-1].double(), -1).numpy()
            # Growing contexts share their beginning, which the runtime keeps; the last position is always among them.
            for last in np.linspace(len(ids) - 1, 0, each, endpoint=False).astype(int)[::-1]:
                theirs_V = runtime.log_probabilities(ids[: last + 1], config.vocab_tokens)
                differences.append(np.abs(theirs_V - ours_TV[last]).max())
                divergences.append(_kl(ours_TV[last], theirs_V))
        text = runtime.generate(sequences[0][:_PROMPT_TOKENS], min(_GENERATED_TOKENS, config.context_tokens - _PROMPT_TOKENS))
    result |= {"largest_kl_nats": float(np.max(divergences)), "generated": text}
    return _judged(f"{path} in {loaded_with}", result, np.array(differences), GGUF_LIMITS[dtype] * _scale(ours))


def _compare_ids(runtime: str, encode: Callable[[str], list[int]], tokenizer: Tokenizer, *, exact: bool = True) -> dict[str, Any]:
    """Count the probe texts that get the same ids; where the runtime is bound to be `exact`, refuse a difference."""
    texts, equal = probe_texts(), 0
    for text in texts:
        theirs, ours = list(encode(text)), tokenizer.encode(text)
        if theirs == ours:
            equal += 1
        elif exact:
            raise ArtifactError(f"{runtime} reads {text!r} as the ids {theirs}, the run's tokenizer as {ours}")
    return {"texts_with_equal_ids": equal} | ({} if exact else {"texts_compared": len(texts)})


def _judged(what: str, result: dict[str, Any], differences: npt.NDArray[np.floating], limit: float) -> dict[str, Any]:
    """Add the largest difference over all positions to the result, or refuse it. A value that is not a number is refused too."""
    largest = float(differences.max())
    if not largest <= limit:
        raise ArtifactError(f"{what} gives other logits than the checkpoint: they differ by up to {largest:.3g}, limit {limit:g}")
    return {**result, "positions": len(differences), "largest_logit_difference": largest, "limit": limit}


def _scale(logits: Sequence[Tensor]) -> float:
    """How much further than `USUAL_LOGIT` the logits reach; 1 where they do not."""
    return max(1.0, max(float(logits_TV.abs().max()) for logits_TV in logits) / USUAL_LOGIT)


def _in_transformers(folder: Path) -> tuple[Callable[[Sequence[int]], Tensor], Callable[[str], list[int]]]:
    import transformers

    # Its bar over a file of a few megabytes would break into ours.
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    # A special token's name in raw text is read as text by us, and by their tokenizer when told so.
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, split_special_tokens=True, local_files_only=True)

    return partial(_their_logits, loaded.train(False)), lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]


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
    for text in probe_texts():
        # By their rules, the name of a special token in a text is that token.
        if any(name in text for name in tokenizer.special):
            continue
        called, own = loaded(text)["input_ids"], loaded(text, add_special_tokens=False)["input_ids"]
        if called != own or (tokenizer.exact_in_transformers and called != tokenizer.encode(text)):
            raise ArtifactError(
                f"{folder} in transformers: a plain call reads {text!r} as {called}, training as {tokenizer.encode(text)}; "
                "something adds tokens to texts"
            )


def _reloaded(folder: Path, model: Decoder) -> tuple[Callable[[Sequence[int]], Tensor], Callable[[str], list[int]]]:
    again = Decoder(model.config)
    tensors = {name: tensor.float() for file in weight_files(folder) for name, tensor in load_file(folder / file).items()}
    again.load_state_dict(from_hf(tensors, model.config))
    return lambda ids: _logits(again, ids), load_tokenizer(folder).encode


def _rounded(model: Decoder, dtype: HfType) -> Decoder:
    """The model as it is, or a copy whose weights have gone through `dtype`."""
    if dtype == "float32":
        return model
    copy = Decoder(model.config)
    copy.load_state_dict({name: tensor.to(getattr(torch, dtype)) for name, tensor in model.state_dict().items()})
    return copy


def _logits(model: Decoder, ids: Sequence[int]) -> Tensor:
    with torch.inference_mode():
        logits_TV: Tensor = model.logits(model(torch.tensor([list(ids)])))[0].float()
    return logits_TV


def _kl(ours_V: npt.NDArray[np.float64], theirs_V: npt.NDArray[np.float64]) -> float:
    """Kullback-Leibler divergence of two distributions given as log-probabilities, in nats.

    Theirs were rounded to float32, so they are scaled to add up to one again; otherwise that rounding is all one sees.
    """
    theirs_V = theirs_V - np.log(np.exp(theirs_V).sum())
    return float((np.exp(ours_V) * (ours_V - theirs_V)).sum())
