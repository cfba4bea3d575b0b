"""Checkpoint and held-out documents → `scores/heldout.json`: bits per byte beside compression baselines.

Scored is the last stage that learnt from text; what comes of conversations is scored by the stages that learn from them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch

from pellucid.checkpoint.models import load_model
from pellucid.core.artifacts import Build, Key, fingerprint
from pellucid.core.errors import DataError
from pellucid.core.files import write_bytes, write_json
from pellucid.core.units import utf8_bytes
from pellucid.documents.store import iter_split
from pellucid.evals.compression import Compressed, compress_groups
from pellucid.evals.heldout import LanguageModel, Window, score_heldout
from pellucid.evals.ngram import train_ngram
from pellucid.evals.records import DocumentScore, HeldoutDocument, summarise_heldout
from pellucid.plan.mixing import mix_of
from pellucid.recipe.recipe import Recipe
from pellucid.shards.stream import TokenStream
from pellucid.stages.run_folder import final_checkpoint, shard_tokens
from pellucid.stages.stage import Context, Stage
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer
from pellucid.train.device import pick_device

__all__ = ["EVALUATE", "heldout_documents", "score_as_recipe"]

NGRAM_ORDER = 5
# More would only cost time and memory (about 140 bytes a token): the order decides the score long before.
NGRAM_TOKENS = 20_000_000


def _window(recipe: Recipe) -> Window:
    seq_tokens = recipe.evaluate.seq_tokens or recipe.text_stages[-1].seq_tokens
    return Window(seq_tokens, recipe.evaluate.stride_tokens or max(1, seq_tokens // 2))


def _key(context: Context) -> Key:
    recipe = context.recipe
    inputs = {name: fingerprint(context.folder(name)) for name in ("documents", "tokenizer", "shards")}
    inputs["checkpoint"] = fingerprint(final_checkpoint(context.run, recipe.text_stages[-1]))
    sources = [source.name for source in recipe.sources]
    return Key("scores", 2, 0, {**recipe.evaluate.model_dump(mode="json"), "sources": sources}, inputs)


def _build(context: Context, build: Build) -> str:
    recipe, stage = context.recipe, context.recipe.text_stages[-1]
    tokenizer = load_tokenizer(context.folder("tokenizer"))
    documents = heldout_documents(recipe, context.folder("documents"))
    checkpoint = final_checkpoint(context.run, stage)
    model, meta = load_model(checkpoint)
    device = pick_device("auto").device
    scores = score_as_recipe(recipe, model.to(device).eval(), tokenizer, documents, device)
    window = _window(recipe)
    predictors: dict[str, list[DocumentScore]] = {"model": scores}
    baselines: dict[str, Any] = {}
    if "ngram" in recipe.evaluate.baselines:
        predictors["ngram"], baselines["ngram"] = _ngram(context, tokenizer, documents, scores)
    compressed: dict[str, dict[str, Compressed]] = {}
    if "xz" in recipe.evaluate.baselines:
        compressed = {
            "by_source": compress_groups(documents, lambda document: document.source),
            "by_language": compress_groups(documents, lambda document: document.language),
        }
        baselines["xz"] = {"preset": 9, "compresses": "the held-out text of the group as one file, with no other text before it"}
    table = summarise_heldout(
        predictors, {name: {k: c.bits_per_byte for k, c in group.items()} for name, group in compressed.items()}
    )
    if compressed:
        parts = compressed["by_language"].values()
        table["total"]["xz"] = 8 * sum(part.compressed_bytes for part in parts) / sum(part.text_bytes for part in parts)
        baselines["xz"]["total"] = "the compressed languages added up"
    result = {
        "bits_per_byte": table,
        "window": {"seq_tokens": window.seq_tokens, "stride_tokens": window.stride_tokens},
        "checkpoint": {"path": str(checkpoint.relative_to(context.run)), "step": meta["step"], "stage": stage.name},
        "baselines": baselines,
        "unseen_sources": sorted(
            name for name, share in mix_of(recipe, stage, shard_tokens(recipe, context.run)).shares.items() if share == 0
        ),
        "without_heldout_documents": sorted(
            {source.name for source in recipe.sources} - {document.source for document in documents}
        ),
    }
    write_json(build.path / "heldout.json", result)
    records = b"".join(
        orjson.dumps({key: getattr(score, key) for key in ("id", "source", "language", "bytes", "tokens", "nats")}) + b"\n"
        for score in scores
    )
    write_bytes(build.path / "heldout.documents.jsonl", records)
    build.summary.update(bits_per_byte=table["all"], documents=len(scores))
    against = ", ".join(f"{name} {table['total'][name]:.3f}" for name in ("xz", "ngram") if name in table["total"])
    return f"{table['all']:.3f} bits per byte on {len(scores)} held-out documents" + (f" ({against})" if against else "")


def score_as_recipe(
    recipe: Recipe,
    model: LanguageModel,
    tokenizer: Tokenizer,
    documents: Sequence[HeldoutDocument],
    device: torch.device | str = "cpu",
) -> list[DocumentScore]:
    """Score each document by the windows that the recipe asks for."""
    window = _window(recipe)
    batch_tokens = recipe.evaluate.batch_seqs * window.seq_tokens
    return score_heldout(
        model, tokenizer.encode_batch, tokenizer.eos_id, documents, window=window, batch_tokens=batch_tokens, device=device
    )


def heldout_documents(recipe: Recipe, folder: Path) -> list[HeldoutDocument]:
    """Return the held-out documents of all sources, of each at most `max_bytes`, in the order of the files.

    A document that no longer fits is left out, and shorter ones behind it are still taken.
    """
    limit = recipe.evaluate.max_bytes
    taken: list[HeldoutDocument] = []
    for source in recipe.sources:
        size = 0
        for document in iter_split(folder, source.name, "heldout"):
            document_bytes = utf8_bytes(document.text)
            if limit is not None and size + document_bytes > limit:
                continue
            size += document_bytes
            taken.append(HeldoutDocument(document.id, document.source, document.language, document.text))
    if not taken:
        raise DataError(
            "no document is held out, so there is nothing to score; "
            f"raise documents.heldout_frac (it is {recipe.documents.heldout_frac})"
        )
    return taken


def _ngram(
    context: Context, tokenizer: Tokenizer, documents: Sequence[HeldoutDocument], scores: Sequence[DocumentScore]
) -> tuple[list[DocumentScore], dict[str, Any]]:
    """Train the n-gram model on the training shards, up to a number of tokens, and score the same documents with it."""
    shards = context.folder("shards")
    streams = [TokenStream(shards / source.name / "train") for source in context.recipe.sources]
    available = sum(stream.tokens for stream in streams)
    share = min(1.0, NGRAM_TOKENS / available)
    tokens = np.concatenate([stream.read(0, int(stream.tokens * share)) for stream in streams])
    model = train_ngram(tokens, vocab_tokens=tokenizer.vocab_tokens, eos_id=tokenizer.eos_id, order=NGRAM_ORDER)
    nats = model.score_documents(*tokenizer.encode_batch([document.text for document in documents]))
    found = [
        DocumentScore(score.id, score.source, score.language, score.bytes, score.tokens, float(value))
        for score, value in zip(scores, nats, strict=True)
    ]
    about = {
        "order": NGRAM_ORDER,
        "smoothing": "interpolated modified Kneser-Ney over the model's own tokens",
        "trained_tokens": model.trained_tokens,
        "trained_on": f"the first {100 * share:.0f} % of every source's training shard, sources as they are, not by weight",
    }
    return found, about


EVALUATE = Stage("evaluate", "scores", _key, _build)
