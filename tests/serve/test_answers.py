import asyncio

import pytest

from pellucid.generate.engine import GenerationRequest
from pellucid.generate.sampling import Sampling
from pellucid.serve.answers import Answers, Order
from pellucid.serve.errors import ApiError

GREEDY = Sampling(temperature=0)


def collected(served, orders, wait_s=60.0):
    async def collect():
        with Answers(served, orders) as answers:
            return [found async for found in answers.pieces(asyncio.get_running_loop().time() + wait_s)]

    return asyncio.run(collect())


def test_every_token_comes_once_with_its_place_in_the_text(served, tokenizer):
    prompts = [tuple(tokenizer.encode(text)) for text in ("The river", "🎉 ")]
    found = collected(served, [Order(GenerationRequest(ids, 30, GREEDY, top_logprobs=0)) for ids in prompts])
    for number in (0, 1):
        pieces = [piece for at, piece in found if at == number]
        text = "".join(piece.text for piece in pieces)
        tokens = [shown for piece in pieces for shown in piece.tokens]
        assert [piece.finish for piece in pieces] == [None] * (len(pieces) - 1) + ["length"]
        assert len(tokens) == pieces[-1].new_tokens == 30
        assert b"".join(served.shown_bytes(shown.token.id) for shown in tokens).decode(errors="replace") == text
        assert [shown.offset for shown in tokens] == sorted(shown.offset for shown in tokens)


def test_what_the_engine_refuses_cancels_what_it_took(served):
    before = served.engine.stats()
    with pytest.raises(ApiError) as error:
        collected(served, [Order(GenerationRequest((5,), 200, GREEDY)), Order(GenerationRequest((999,), 1, GREEDY))])
    assert error.value.status == 400
    while served.engine.stats().running + served.engine.stats().waiting:
        pass
    assert served.engine.stats().new_tokens - before.new_tokens < 200


def test_time_that_is_up_is_told(served):
    with pytest.raises(TimeoutError):
        collected(served, [Order(GenerationRequest((5,), 200, GREEDY, top_logprobs=5, prompt_logprobs=True))], wait_s=0.0)


def test_the_time_is_looked_at_when_nothing_has_to_be_waited_for(served):
    async def collect():
        until = asyncio.get_running_loop().time() + 0.2
        with Answers(served, [Order(GenerationRequest((5,), 20, GREEDY))]) as answers:
            async for _ in answers.pieces(None):
                break
            while served.engine.stats().running:
                await asyncio.sleep(0.01)
            while asyncio.get_running_loop().time() < until:
                await asyncio.sleep(0.01)
            return [found async for found in answers.pieces(until)]

    with pytest.raises(TimeoutError):
        asyncio.run(collect())
