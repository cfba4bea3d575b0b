import dataclasses

import pytest

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a river?"}]


def ask(client, **more):
    return client.chat.completions.create(
        model="tiny", messages=MESSAGES, **({"temperature": 0, "max_completion_tokens": 20} | more)
    )


def test_the_prompt_is_what_the_chat_format_writes(client, served):
    answer = ask(client, extra_body={"return_token_ids": True})
    ids = served.chat.prompt(MESSAGES)
    assert answer.prompt_token_ids == ids and answer.usage.prompt_tokens == len(ids)
    continued = client.completions.create(model="tiny", prompt=ids, temperature=0, max_tokens=20)
    assert continued.choices[0].text == answer.choices[0].message.content
    assert answer.choices[0].message.role == "assistant" and answer.choices[0].finish_reason == "length"


def test_a_stream_is_the_whole_answer_and_begins_with_the_role(client):
    whole = ask(client, logprobs=True, top_logprobs=2).choices[0]
    chunks = list(ask(client, logprobs=True, top_logprobs=2, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[-1].usage.completion_tokens == 20
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == whole.message.content
    streamed = [one for chunk in chunks[1:-1] for one in chunk.choices[0].logprobs.content]
    assert [one.bytes for one in streamed] == [one.bytes for one in whole.logprobs.content]
    assert len(streamed) == 20 and all(len(one.top_logprobs) == 2 for one in streamed)
    assert b"".join(bytes(one.bytes) for one in streamed).decode(errors="replace") == whole.message.content
    # Drawn greedily, every token is the likeliest of its place.
    assert all(one.logprob == pytest.approx(one.top_logprobs[0].logprob, abs=1e-5) for one in streamed)


def test_stop_and_several_answers_work_as_for_completions(client):
    text = ask(client).choices[0].message.content
    assert ask(client, stop=text[3:6]).choices[0].message.content == text[: text.find(text[3:6])]
    found = ask(client, n=2, seed=1, temperature=2)
    assert found.choices[0].message.content != found.choices[1].message.content
    assert 2 <= found.usage.completion_tokens <= 40


def test_without_a_limit_the_answer_may_fill_the_context(client):
    assert ask(client, max_completion_tokens=None).usage.total_tokens <= 256


def test_special_tokens_in_a_message_stay_text(client, served, tokenizer):
    messages = [{"role": "user", "content": "<|endoftext|> is a name"}]
    answer = client.chat.completions.create(
        model="tiny", messages=messages, max_completion_tokens=1, extra_body={"return_token_ids": True}
    )
    plain = served.chat.prompt([{"role": "user", "content": "is a name"}])
    assert answer.prompt_token_ids.count(tokenizer.eos_id) == plain.count(tokenizer.eos_id)


def test_what_cannot_be_done_is_refused(http, start, served):
    for more, param in (({"top_logprobs": 2}, "top_logprobs"), ({"max_completion_tokens": 300}, "messages")):
        answer = http.post("/v1/chat/completions", json={"messages": MESSAGES, **more})
        assert answer.status_code == 400 and answer.json()["error"]["param"] == param
    base = start(dataclasses.replace(served, chat=None))
    import httpx

    answer = httpx.post(f"{base.url}/v1/chat/completions", json={"messages": MESSAGES}, trust_env=False)
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "no_chat_format"


def test_a_stream_tells_the_prompts_ids_first_and_a_name_changes_nothing(client):
    messages = [{"role": "user", "content": "Hello"}]
    whole = client.chat.completions.create(model="tiny", messages=messages, max_tokens=4, extra_body={"return_token_ids": True})
    chunks = list(
        client.chat.completions.create(
            model="tiny",
            messages=[messages[0] | {"name": "Ada"}],
            max_tokens=4,
            n=2,
            stream=True,
            extra_body={"return_token_ids": True, "stream_options": {"include_usage": None, "include_obfuscation": True}},
        )
    )
    assert chunks[0].prompt_token_ids == whole.prompt_token_ids
    assert not any("prompt_token_ids" in (chunk.model_extra or {}) for chunk in chunks[1:])
    assert all(chunk.choices for chunk in chunks)
