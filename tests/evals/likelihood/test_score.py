import random

import pytest
import torch

from pellucid.core.errors import ArtifactError
from pellucid.evals.likelihood.requests import Request, make_requests
from pellucid.evals.likelihood.score import Budget, score_requests
from pellucid.model.cache import KVCache
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig

CONTEXT = 64


def model_of(**changes: object) -> Decoder:
    shape = {"vocab_tokens": 97, "hidden": 32, "layers": 2, "heads": 4, "kv_heads": 2, "mlp_hidden": 64, "context_tokens": CONTEXT}
    kind = {"norm": "rmsnorm", "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False, "tied_head": True, "init_std": 0.2}
    model = Decoder(ModelConfig.model_validate(shape | kind | changes))
    init_weights(model, 1)
    return model.eval()


def alone(model: Decoder, request: Request) -> tuple[float, bool]:
    """Score one request by itself: one plain pass, all logits, a log-softmax."""
    with torch.no_grad():
        logits_TV = model.logits(model(torch.tensor([request.inputs])))[0].double()
    rows_NV = torch.log_softmax(logits_TV, dim=-1)[-len(request.targets) :]
    nats = -sum(row_V[target].item() for row_V, target in zip(rows_NV, request.targets, strict=True))
    return nats, rows_NV.argmax(dim=1).tolist() == list(request.targets)


def requests_of(seed: int) -> list[Request]:
    """Draw requests that share contexts, contexts that share a long beginning, contexts that are too long, in any order."""
    draw = random.Random(seed)
    found = []
    for _ in range(draw.randint(1, 4)):
        shots = [draw.randrange(97) for _ in range(draw.choice([0, 1, 5, 40]))]
        for _ in range(draw.randint(1, 5)):
            context = shots + [draw.randrange(97) for _ in range(draw.randint(1, 30))]
            ends = [[draw.randrange(97) for _ in range(draw.randint(1, 9))] for _ in range(draw.randint(1, 4))]
            found += [request for end in ends for request in make_requests(context, end, CONTEXT)]
    draw.shuffle(found)
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"norm": "layernorm", "norm_bias": True, "rotary_frac": 0.25, "qkv_bias": True, "tied_head": False, "kv_heads": 4},
        {"qk_norm": True},
    ],
    ids=["llama", "stablelm", "qk_norm"],
)
@pytest.mark.parametrize("budget", [Budget(), Budget(100, 50), Budget(1, 1)], ids=str)
def test_scores_are_those_of_each_request_by_itself(changes: dict[str, object], budget: Budget) -> None:
    model = model_of(**changes)
    for seed in range(8):
        requests = requests_of(seed)
        done: list[int] = []
        scores = score_requests(model, requests, budget, done.append)
        assert sum(done) == len(requests)
        for request, score in zip(requests, scores, strict=True):
            nats, greedy = alone(model, request)
            assert score.nats == pytest.approx(nats, abs=2e-4)
            assert score.greedy == greedy


def test_a_greedy_continuation_is_told() -> None:
    model, ids = model_of(), [5, 6, 7]
    with torch.no_grad():
        for _ in range(4):
            ids.append(int(model.logits(model(torch.tensor([ids])))[0, -1].argmax()))
    ends = ids[3:], [*ids[3:6], (ids[6] + 1) % 97]
    right, wrong = (make_requests(ids[:3], end, CONTEXT)[0] for end in ends)
    assert [score.greedy for score in score_requests(model, [right, wrong])] == [True, False]


def test_the_model_computes_shared_tokens_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, computed = model_of(), []
    whole = Decoder.forward

    def counted(self: Decoder, ids_BT: torch.Tensor, *others: object, **more: object) -> torch.Tensor:
        computed.append(ids_BT.numel())
        return whole(self, ids_BT, *others, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Decoder, "forward", counted)
    shots = list(range(40))
    score_requests(model, [make_requests(shots, [k, k + 1, k + 2], CONTEXT)[0] for k in range(4)])
    assert sum(computed) == 40 + 4 * 2
    computed.clear()
    # Four choices of one token after the same question: one sequence. Several questions behind the same examples: one stem.
    questions = [make_requests([*shots, 50 + q, 51 + q, 52], [choice], CONTEXT)[0] for q in range(10) for choice in range(4)]
    score_requests(model, questions, Budget(2048, 50))
    assert sum(computed) <= 40 + 10 * 3 + 8


def test_copies_of_a_stem_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    model, copies = model_of(), []
    whole = KVCache.branch

    def counted(self: KVCache, batch_seqs: int, new_tokens: int) -> KVCache:
        copies.append(batch_seqs * (self.length + new_tokens))
        return whole(self, batch_seqs, new_tokens)

    monkeypatch.setattr(KVCache, "branch", counted)
    shots = list(range(50))
    questions = [make_requests([*shots, *range(k, k + 6)], [k], CONTEXT)[0] for k in range(0, 90, 3)]
    found = score_requests(model, questions, Budget(120, 16))
    assert len(copies) > 3 and max(copies) <= 240
    for request, score in zip(questions, found, strict=True):
        assert score.nats == pytest.approx(alone(model, request)[0], abs=2e-4)


def test_logits_that_are_no_numbers_are_an_error() -> None:
    model = model_of()
    with torch.no_grad():
        model.norm.weight.fill_(torch.nan)
    with pytest.raises(ArtifactError, match="no numbers"):
        score_requests(model, requests_of(1))
