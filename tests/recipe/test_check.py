"""Combinations that cannot work."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import Problem
from pellucid.recipe.check import _nearest

Problems = Callable[..., list[Problem]]


@pytest.mark.parametrize(
    ("overrides", "field", "message", "fix"),
    [
        (
            ["train.0.batch_tokens=100000"],
            "train[0].batch_tokens",
            "got 100000; must be a multiple of micro_seqs · seq_tokens = 16 · 512 = 8192",
            "nearest: 98304 or 106496",
        ),
        (["train.0.batch_tokens=512"], "train[0].batch_tokens", "got 512; must be a multiple", "nearest: 8192"),
        (
            ["model.context_tokens=256", "evaluate.seq_tokens=64"],
            "train[0].seq_tokens",
            "got 512; must be at most model.context_tokens = 256",
            "",
        ),
        (
            ["launch.devices_per_node=3"],
            "train[0].batch_tokens",
            "got 8192; cannot be dealt out to the 3 ranks of launch (nodes · devices_per_node = 1 · 3): must be a multiple",
            "nearest: 24576",
        ),
        (
            ["launch.devices_per_node=4"],
            "train[0].batch_tokens",
            "got 8192; cannot be dealt out to the 4 ranks",
            "nearest: 32768, or micro_seqs: 4",
        ),
        (
            ["launch={kind: slurm, nodes: 2, devices_per_node: 2}", "train.0.batch_tokens=100000"],
            "train[0].batch_tokens",
            "got 100000; must be a multiple of micro_seqs",
            "nearest: 98304 or 106496",
        ),
        (["train.0.name=launch"], "train[0].name", "got 'launch'; the run has a folder of that name", "taken: plan"),
        (["model.hidden=251"], "model.hidden", "got 251; must be a multiple of heads = 2", "nearest: 250 or 252"),
        (["model.heads=1000000000000000000"], "model.heads", "got 1000000000000000000; must be 65536 or less", ""),
        (["model.kv_heads=3"], "model.kv_heads", "got 3; must divide heads = 2", "possible: 1, 2"),
        (
            ["model.rotary_frac=0.55"],
            "model.rotary_frac",
            "got 0.55; 35 of 64 channels would be rotated",
            "nearest: 0.53125 or 0.5625",
        ),
        (["model.norm=rmsnorm"], "model.norm_bias", "got true; rmsnorm has no bias", "set norm_bias: false"),
        (["model.vocab_tokens=8000"], "model.vocab_tokens", "got 8000; must be at least the tokenizer's 8192", "leave it out"),
        (
            ["tokenizer.kind=arcade100k", "tokenizer.vocab_tokens=5000"],
            "tokenizer.vocab_tokens",
            "got 5000; arcade100k has 100289",
            "",
        ),
        (["tokenizer.kind=sentencepiece"], "tokenizer.path", "missing; kind sentencepiece reads a tokenizer.model", "write path"),
        (["tokenizer.kind=huggingface"], "tokenizer.path", "missing; kind huggingface reads a tokenizer.json", "write path"),
        (["tokenizer.kind=gguf"], "tokenizer.path", "missing; kind gguf reads a GGUF file", "write path"),
        (["tokenizer.path=a"], "tokenizer.path", "got 'a'; kind bpe takes none", "use kind: sentencepiece or huggingface"),
        (["tokenizer.eos=</s>"], "tokenizer.eos", "got '</s>'; kind bpe takes none", ""),
        (["tokenizer.hub=a/b"], "tokenizer.hub", "got 'a/b'; kind bpe takes none", ""),
        (["sources.code-python.name=WIKI"], "sources[1].name", "got 'WIKI'; sources[0] has that name already", ""),
        (["train.0.name=scores"], "train[0].name", "got 'scores'; the run has a folder of that name", "taken: plan"),
        (["evaluate.seq_tokens=1024"], "evaluate.seq_tokens", "got 1024; must be at most model.context_tokens = 512", ""),
        (["evaluate.stride_tokens=600"], "evaluate.stride_tokens", "got 600; must be at most seq_tokens = 512", ""),
        (["documents.min_bytes=10", "documents.max_bytes=5"], "documents.min_bytes", "got 10; must be at most max_bytes = 5", ""),
        (["sources.wiki.hub=a/b"], "sources[0]", "has both path and hub; must have exactly one", ""),
        (["sources.wiki.path=null"], "sources[0]", "has neither path nor hub", ""),
        (["sources.wiki.split=test"], "sources[0].split", "got 'test'; files have no splits", "leave it out"),
        (["sources.wiki.revision=v1"], "sources[0].revision", "got 'v1'; only a data set on the hub has one", "leave it out"),
        (
            ["sources.wiki.template=sentiment", "sources.wiki.text_column=body"],
            "sources[0].text_column",
            "got 'body'; is not used, because template makes the text",
            "leave out one of the two; in a template the field is written {body}",
        ),
        (["sources.wiki.template=sentiment", "sources.wiki.html=true"], "sources[0].html", "got true; a template's text", ""),
        (['sources.wiki.template=" "'], "sources[0].template", "got ''; must be a text with {fields}", ""),
        (["sources.wiki.path=' '"], "sources[0].path", "got ''", ""),
        (
            ["train.0.schedule.warmup_steps=400"],
            "train[0].schedule.warmup_steps",
            "got 400; with cooldown_steps = 0",
            "set warmup_steps",
        ),
        (["train.0.schedule.min_lr=1"], "train[0].schedule.min_lr", "got 1; must be at most peak_lr = 0.001", "usual: 0.0001"),
        (["train.0.init_from=' '"], "train[0].init_from", "got ''; must name a folder or a file", "leave it out"),
        (["train.0.name=averages"], "train[0].name", "got 'averages'; the run has a folder of that name", "taken: plan"),
        (["train.0.weights={wikki: 1}"], "train[0].weights.wikki", "names no source", "did you mean wiki?"),
        (["train.0.weights={wiki: -1}"], "train[0].weights.wiki", "got -1; must be 0 or more", ""),
        (["sources.wiki.weight=0", "sources.code-python.weight=0"], "train[0].weights", "every source has weight 0", ""),
        (["train.0.weights={wiki: 0, code-python: 0}"], "train[0].weights", "every source has weight 0", ""),
    ],
)
def test_an_impossible_combination_is_told_with_its_nearest_fix(
    problems: Problems, overrides: list[str], field: str, message: str, fix: str
) -> None:
    found = problems(*overrides)
    assert [one.field for one in found] == [field], found
    assert found[0].message.startswith(message)
    assert found[0].fix.startswith(fix)


def test_combinations_are_checked_beside_wrong_values_but_not_with_them(problems: Problems) -> None:
    found = problems("train.0.batch_tokens=100000", "train.0.warmup_step=1", "model.heads=many", "train.0.length_tokens=0")
    assert [one.field for one in found] == [
        "model.heads",
        "train[0].length_tokens",
        "train[0].batch_tokens",
        "train[0].warmup_step",
    ]


@given(st.integers(1, 10**7), st.integers(1, 10**5))
def test_nearest_multiples_enclose_the_value(value: int, multiple: int) -> None:
    numbers = [int(word) for word in _nearest(value, multiple).removeprefix("nearest: ").split(" or ")]
    assert all(number % multiple == 0 and abs(number - value) < multiple for number in numbers)
    assert numbers
