from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import UsageError
from pellucid.generate.batched import Completer, Completion, generate_batch
from pellucid.generate.decoding import generate
from pellucid.generate.sampling import Sampling
from pellucid.kernels.slots import SlotCache
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

CONFIG = ModelConfig(
    vocab_tokens=61, context_tokens=24, layers=2, hidden=32, heads=4, kv_heads=2, mlp_hidden=48, norm="layernorm",
    norm_bias=True, rotary_frac=0.25, qkv_bias=True, tied_head=False, init_std=0.4,
)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Iterator[Decoder]:
    model = Decoder(CONFIG)
    init_weights(model, 1)
    yield model


def one_by_one(
    model: Decoder, prompts: list[list[int]], seeds: list[int], sampling: Sampling, count: int, stop: set[int]
) -> list[Completion]:
    found = []
    for prompt, seed in zip(prompts, seeds, strict=True):
        generation = generate(
            model,
            prompt,
            max_new_tokens=count,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            seed=seed,
            stop_ids=stop,
        )
        found.append(Completion(list(generation), generation.stopped_by))
    return found


prompts_of = st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=24), min_size=1, max_size=7)


@settings(max_examples=30)
@given(
    prompts_of,
    st.integers(0, 10**6),
    st.sampled_from([Sampling(), Sampling(0), Sampling(0.7, top_k=5), Sampling(1.3, top_p=0.8)]),
    st.integers(0, 15),
    st.sets(st.integers(0, 60), max_size=6),
)
def test_a_batch_of_prompts_of_any_lengths_gives_what_one_by_one_gives(
    model: Decoder, prompts: list[list[int]], seed: int, sampling: Sampling, count: int, stop: set[int]
) -> None:
    seeds = [seed + index for index in range(len(prompts))]
    batch = generate_batch(model, prompts, max_new_tokens=count, sampling=sampling, seeds=seeds, stop_ids=stop)
    assert batch == one_by_one(model, prompts, seeds, sampling, count, stop)


@pytest.mark.parametrize("batch_seqs", [1, 3, 64])
def test_a_completer_returns_the_prompts_own_order_whatever_the_batches(model: Decoder, batch_seqs: int) -> None:
    prompts = [[5] * (1 + index * 7 % 12) + [index] for index in range(11)]
    done: list[int] = []
    seeds = list(range(11))
    found = Completer(model, batch_seqs).complete(
        prompts, max_new_tokens=6, sampling=Sampling(), seeds=seeds, stop_ids=[3, 4], on_done=done.append
    )
    assert found == one_by_one(model, prompts, seeds, Sampling(), 6, {3, 4})
    assert sum(done) == 11 and max(done) <= batch_seqs


def test_a_prompt_takes_the_place_of_a_text_that_has_ended(model: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    whole = Decoder.forward

    def noted(self: Decoder, ids_BT: torch.Tensor, **more: object) -> torch.Tensor:
        passes.append(ids_BT.numel())
        return whole(self, ids_BT, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Decoder, "forward", noted)
    # Of two slots one writes nine tokens, the other three times three.
    lengths = {1: 9, 2: 3, 3: 3, 4: 3}
    prompts = [[n, 50, 51, 52] for n in lengths]
    ends = [lengths[n] for n in lengths]
    free = generate_batch(model, prompts, max_new_tokens=9, sampling=Sampling(), seeds=ends)
    wanted = {tuple(one.ids[:end]) for one, end in zip(free, ends, strict=True)}
    passes.clear()
    found = Completer(model, 2).complete(
        prompts, max_new_tokens=9, sampling=Sampling(), seeds=ends, has_ended=lambda new: tuple(new) in wanted
    )
    assert [len(one.ids) for one in found] == ends
    assert passes == [8, 2, 2, 5, 2, 2, 5, 2, 2]


def test_the_probability_of_a_token_is_that_of_the_whole_softmax(model: Decoder) -> None:
    prompts = [[1, 2, 3], [4], [5, 6, 7], [8, 9]]
    with torch.no_grad():
        expected = [float(model.logits(model(torch.tensor([ids])))[0, -1].softmax(0)[17]) for ids in prompts]
    assert Completer(model, 2).probability_of(17, prompts) == pytest.approx(expected, rel=1e-5)


def test_training_mode_and_the_global_random_state_are_left_alone(model: Decoder) -> None:
    before = torch.random.get_rng_state()
    model.train()
    generate_batch(model, [[1], [2, 3]], max_new_tokens=3, sampling=Sampling(), seeds=[1, 2])
    assert model.training and torch.equal(torch.random.get_rng_state(), before)


def test_bad_prompts_and_a_missing_seed_are_named(model: Decoder) -> None:
    for prompts, seeds, message in (
        ([[1], []], [1, 2], "empty"),
        ([[1], [61]], [1, 2], "vocabulary is 0 to 60"),
        ([[1] * 25], [1], "context_tokens is 24"),
        ([[1], [2]], [1], "2 prompts and 1 seeds"),
    ):
        with pytest.raises(UsageError, match=message):
            generate_batch(model, prompts, max_new_tokens=2, sampling=Sampling(), seeds=seeds)
    assert generate_batch(model, [], max_new_tokens=2, sampling=Sampling(), seeds=[]) == []


def test_a_row_ends_when_its_tokens_are_enough(model: Decoder) -> None:
    prompts, sampling = [[1, 2], [3, 4, 5], [6]], Sampling(0.9)
    free = generate_batch(model, prompts, max_new_tokens=9, sampling=sampling, seeds=[1, 2, 3])
    held = generate_batch(
        model, prompts, max_new_tokens=9, sampling=sampling, seeds=[1, 2, 3], has_ended=lambda new: len(new) == new[0] % 5 + 1
    )
    assert [one.ids for one in held] == [one.ids[: one.ids[0] % 5 + 1] for one in free]


def test_a_batch_holds_no_more_tokens_than_it_may(model: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = [[1] * n for n in (9, 3, 8, 2, 2, 1)]
    slots = []
    whole = Decoder.forward

    def noted(self: Decoder, ids_BT: torch.Tensor, cache: SlotCache) -> torch.Tensor:
        slots.append(len(cache.lengths))
        return whole(self, ids_BT, cache=cache)

    monkeypatch.setattr(Decoder, "forward", noted)
    settings = {"max_new_tokens": 1, "sampling": Sampling(0), "seeds": range(6)}
    found = Completer(model, batch_tokens=9).complete(prompts, **settings)  # type: ignore[arg-type]
    # 9 and 8 tokens one after another; 3, 2 and 2 at once; 1.
    assert set(slots) == {1, 3}
    assert [one.ids for one in found] == [one.ids for one in Completer(model).complete(prompts, **settings)]  # type: ignore[arg-type]
