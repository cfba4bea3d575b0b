import pytest
import torch

from pellucid.core.errors import UsageError
from pellucid.generate.decoding import generate
from pellucid.generate.sampling import Sampling
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

CONFIG = ModelConfig(
    vocab_tokens=61, context_tokens=24, layers=2, hidden=32, heads=4, kv_heads=2, mlp_hidden=48, norm="layernorm",
    norm_bias=True, rotary_frac=0.25, qkv_bias=True, tied_head=False, init_std=0.4,
)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Decoder:
    model = Decoder(CONFIG)
    init_weights(model, 1)
    return model


def greedy_without_cache(model: Decoder, ids: list[int], count: int) -> list[int]:
    ids, new = list(ids), []
    with torch.no_grad():
        for _ in range(count):
            new.append(int(model.logits(model(torch.tensor([ids]))[:, -1]).argmax()))
            ids.append(new[-1])
    return new


def test_greedy_decoding_with_the_cache_equals_recomputing_everything(model: Decoder) -> None:
    tokens = list(generate(model, [3, 1, 4], max_new_tokens=12, temperature=0))
    assert tokens == greedy_without_cache(model, [3, 1, 4], 12)
    assert len(set(tokens)) > 1
    assert tokens == list(generate(model, [3, 1, 4], max_new_tokens=12, temperature=0, seed=99))


def test_a_seed_gives_the_same_tokens_again_and_another_seed_others(model: Decoder) -> None:
    one, same, other = (list(generate(model, [5], max_new_tokens=16, seed=seed, top_p=0.95, top_k=40)) for seed in (1, 1, 2))
    assert one == same and one != other


def test_generation_does_not_touch_the_global_random_state_or_the_training_mode(model: Decoder) -> None:
    before = torch.random.get_rng_state()
    model.train()
    list(generate(model, [5], max_new_tokens=4))
    assert model.training and torch.equal(torch.random.get_rng_state(), before)


def test_tokens_come_one_by_one_and_the_reason_to_stop_is_told_at_the_end(model: Decoder) -> None:
    generation = generate(model, [5], max_new_tokens=3, temperature=0)
    assert generation.stop_reason is None
    next(generation)
    assert generation.stop_reason is None
    assert len(list(generation)) == 2 and generation.stop_reason == "max_new_tokens"
    assert list(generation) == []


def test_a_stop_id_ends_the_text_and_is_not_part_of_it(model: Decoder) -> None:
    whole = list(generate(model, [3, 1, 4], max_new_tokens=12, temperature=0))
    stop = whole[5]
    generation = generate(model, [3, 1, 4], max_new_tokens=12, temperature=0, stop_ids=[stop])
    assert list(generation) == whole[: whole.index(stop)]
    assert (generation.stop_reason, generation.stopped_by) == ("stop_id", stop)


def test_a_full_context_stops_with_that_reason(model: Decoder) -> None:
    generation = generate(model, list(range(20)), max_new_tokens=50, temperature=0)
    assert len(list(generation)) == 4 and generation.stop_reason == "context"
    assert list(generate(model, list(range(24)), max_new_tokens=5)) == []


@pytest.mark.parametrize(
    ("ids", "message"),
    [([], "empty"), (list(range(25)), "25 tokens.*context_tokens is 24"), ([3, 61], "3 to 61.*0 to 60"), ([-1], "-1 to -1")],
)
def test_prompts_that_cannot_be_used_are_refused_before_the_first_token(model: Decoder, ids: list[int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        generate(model, ids, max_new_tokens=1)


def test_nothing_is_generated_when_nothing_is_asked_for(model: Decoder) -> None:
    generation = generate(model, [1], max_new_tokens=0)
    assert list(generation) == [] and generation.stop_reason == "max_new_tokens"


def test_each_token_is_scored_by_the_models_own_distribution_whatever_it_was_drawn_from(model: Decoder) -> None:
    generation = generate(model, [3, 1, 4], max_new_tokens=8, sampling=Sampling(1.5, top_p=0.9), seed=3, top_logprobs=2)
    tokens = list(generation)
    with torch.no_grad():
        log_p_TV = torch.log_softmax(model.logits(model(torch.tensor([[3, 1, 4, *tokens]])))[0, 2:-1], dim=1)
    assert [token.id for token in generation.scored] == tokens
    expected = [float(log_p_V[id_]) for id_, log_p_V in zip(tokens, log_p_TV, strict=True)]
    assert [token.logprob for token in generation.scored] == pytest.approx(expected, abs=1e-5)
    assert [[id_ for id_, _ in token.top] for token in generation.scored] == log_p_TV.topk(2).indices.tolist()


def test_penalties_look_at_the_prompt_and_at_what_was_made(model: Decoder) -> None:
    fresh = list(generate(model, [3, 1, 4], max_new_tokens=15, sampling=Sampling(0, presence_penalty=1e4)))
    assert len(set(fresh)) == 15
    other = list(generate(model, [3, 1, 4], max_new_tokens=15, sampling=Sampling(0, repetition_penalty=1e4)))
    assert len({3, 1, 4, *other}) == 18
