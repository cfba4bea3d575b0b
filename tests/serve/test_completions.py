import tracemalloc

import pytest

from pellucid.serve.completions import plan_completion
from pellucid.serve.errors import ApiError
from pellucid.serve.fields import CompletionFields


def free(client, prompt="The river", **more):
    return client.completions.create(model="tiny", prompt=prompt, **({"max_tokens": 24, "temperature": 0} | more))


def joined(stream):
    chunks = list(stream)
    texts = {}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
    return texts, chunks


def test_a_text_its_ids_and_several_at_once_give_the_same(client, tokenizer):
    prompts = ["The river", "x = 1", "日本"]
    alone = [free(client, prompt) for prompt in prompts]
    together = free(client, prompts)
    by_ids = free(client, [tokenizer.encode(prompt) for prompt in prompts])
    texts = [answer.choices[0].text for answer in alone]
    assert texts == [choice.text for choice in together.choices] == [choice.text for choice in by_ids.choices]
    assert together.usage.completion_tokens == sum(answer.usage.completion_tokens for answer in alone)
    assert together.usage.prompt_tokens == sum(len(tokenizer.encode(prompt)) for prompt in prompts)


def test_a_stream_is_the_whole_answer_and_splits_no_character(client):
    for prompt in ("The river", "🎉 日本 ", "é"):
        answer = free(client, prompt, max_tokens=60, logprobs=1)
        whole = answer.choices[0]
        texts, chunks = joined(free(client, prompt, max_tokens=60, logprobs=1, stream=True, stream_options={"include_usage": True}))
        assert texts == {0: whole.text}
        assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == answer.usage.total_tokens
        assert chunks[-2].choices[0].finish_reason == whole.finish_reason
        logprobs = [value for chunk in chunks[:-1] for value in chunk.choices[0].logprobs.token_logprobs]
        assert len(logprobs) == answer.usage.completion_tokens > 10
        if whole.finish_reason == "stop":  # the end of text has no log-probability
            assert logprobs.pop() is whole.logprobs.token_logprobs.pop() is None
        assert logprobs == pytest.approx(whole.logprobs.token_logprobs, abs=1e-4)


def test_ids_are_told_and_spell_the_text(client, tokenizer):
    answer = free(client, extra_body={"return_token_ids": True}).choices[0]
    assert answer.prompt_token_ids == tokenizer.encode("The river")
    shown = [id_ for id_ in answer.token_ids if id_ not in tokenizer.special.values()]
    assert tokenizer.decode_after(shown) == answer.text and len(answer.token_ids) == 24


def test_a_stop_text_ends_the_answer_and_is_not_in_it(client):
    whole = free(client).choices[0].text
    for stop in (whole[5:8], whole[6:7], [whole[10:14], "never found"]):
        ends = min(whole.find(one) for one in ([stop] if isinstance(stop, str) else stop[:1]))
        answer = free(client, stop=stop, logprobs=1)
        assert answer.choices[0].text == whole[:ends] and answer.choices[0].finish_reason == "stop"
        assert joined(free(client, stop=stop, stream=True))[0] == {0: whole[:ends]}
        assert all(offset < max(ends, 1) for offset in answer.choices[0].logprobs.text_offset)


def test_seeds_repeat_and_choices_differ(client):
    ask = {"temperature": 2, "n": 3, "max_tokens": 30}
    first, again = (free(client, seed=7, **ask) for _ in range(2))
    texts = [choice.text for choice in first.choices]
    assert texts == [choice.text for choice in again.choices] and len(set(texts)) == 3
    assert free(client, seed=8, **(ask | {"n": 1})).choices[0].text == texts[1]  # seeds follow each other


def test_echo_gives_the_prompt_back_with_its_log_probabilities(client, tokenizer):
    prompt = "The river is 12 km long. Größe 😀"
    answer = free(client, prompt, echo=True, logprobs=2, max_tokens=5).choices[0]
    plain = free(client, prompt, logprobs=2, max_tokens=5).choices[0]
    ids = tokenizer.encode(prompt)
    assert answer.text == prompt + plain.text
    assert answer.logprobs.token_logprobs[len(ids) :] == pytest.approx(plain.logprobs.token_logprobs, abs=1e-4)
    assert answer.logprobs.token_logprobs[0] is None and None not in answer.logprobs.token_logprobs[1:]
    assert answer.logprobs.text_offset[len(ids)] == len(prompt)
    for token, offset in zip(answer.logprobs.tokens, answer.logprobs.text_offset, strict=True):
        assert token.startswith("bytes:") or answer.text[offset : offset + len(token)] == token
    alone = free(client, prompt, echo=True, max_tokens=0)
    assert (alone.choices[0].text, alone.usage.completion_tokens) == (prompt, 0)


def test_a_stop_text_in_an_echoed_prompt_ends_nothing(client):
    assert free(client, "The river", echo=True, stop="river", max_tokens=3).choices[0].text.startswith("The river")


def test_the_end_of_text_ends_it_and_counts(client, tokenizer):
    # The end of text is made the only token that can be drawn.
    answer = free(client, logit_bias={str(tokenizer.eos_id): 100}, logprobs=1)
    assert (answer.choices[0].text, answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("", "stop", 1)
    assert len(answer.choices[0].logprobs.tokens) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": []},
        {"prompt": [608]},
        {"prompt": "a", "max_tokens": 256},
        {"prompt": "a", "max_tokens": 0},
        {"prompt": "a", "best_of": 3},
    ],
)
def test_what_cannot_be_done_is_refused(http, body):
    answer = http.post("/v1/completions", json=body)
    assert answer.status_code == 400 and answer.json()["error"]["param"] in ("prompt", "max_tokens", "best_of")


def test_too_many_sequences_are_refused_before_anything_is_made_for_them(served, http):
    fields = CompletionFields(prompt=[[1]] * 4000, n=128)
    tracemalloc.start()
    try:
        with pytest.raises(ApiError, match="512000 sequences in one request"):
            plan_completion(served, fields, 128)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert http.post("/v1/completions", json={"prompt": ["a"] * 65, "n": 2}).status_code == 400
    message = {"role": "user", "content": "a"}
    assert len(http.post("/v1/chat/completions", json={"messages": [message], "n": 8, "max_tokens": 1}).json()["choices"]) == 8


def test_a_stream_tells_the_prompts_ids_first(client, tokenizer):
    prompts = ["The river", "x = 1"]
    chunks = list(free(client, prompts, stream=True, extra_body={"return_token_ids": True}))
    first = [chunk.choices[0] for chunk in chunks[:2]]
    assert [one.prompt_token_ids for one in first] == [tokenizer.encode(prompt) for prompt in prompts]
    assert not any("prompt_token_ids" in (chunk.choices[0].model_extra or {}) for chunk in chunks[2:])
    whole = free(client, prompts, extra_body={"return_token_ids": True})
    for number, choice in enumerate(whole.choices):
        told = [id_ for chunk in chunks if chunk.choices[0].index == number for id_ in chunk.choices[0].token_ids]
        assert told == choice.token_ids


def test_a_text_that_cannot_be_encoded_is_refused(served):
    with pytest.raises(ApiError) as error:
        plan_completion(served, CompletionFields.model_construct(prompt="\ud800"), 1)
    assert (error.value.status, error.value.param) == (400, "prompt")
