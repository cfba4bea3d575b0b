import json
import tracemalloc

import pytest

from pellucid.generate.sampling import Sampling
from pellucid.serve.errors import ApiError
from pellucid.serve.fields import ChatFields, CompletionFields, read_fields


def read(**body):
    kind = ChatFields if "messages" in body else CompletionFields
    return read_fields(kind, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": "a", "temprature": 1}, "temprature"),
        ({"prompt": "a", "n": 0}, "n"),
        ({"prompt": "a", "n": True}, "n"),
        ({"prompt": "a", "temperature": 2.1}, "temperature"),
        ({"prompt": "a", "temperature": "1"}, "temperature"),
        ({"prompt": "a", "top_p": 0}, "top_p"),
        ({"prompt": "a", "logprobs": 21}, "logprobs"),
        ({"prompt": "a", "suffix": "b"}, "suffix"),
        ({"prompt": "a", "stop": [""]}, "stop"),
        ({"prompt": "a", "stop": ["x"] * 17}, "stop"),
        ({"prompt": "a", "max_tokens": -1}, "max_tokens"),
        ({"prompt": "a", "seed": 2**63}, "seed"),
        ({"prompt": "a", "logit_bias": {"x": 1}}, "logit_bias"),
        ({"prompt": "a", "logit_bias": {"5": 101}}, "logit_bias"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({}, "prompt"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages"),
        ({"messages": [{"role": "user", "content": "a"}], "tools": [{"type": "function"}]}, "tools"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, "messages"),
        ({"messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json_object"}}, "response_format"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_by_name(body, param):
    with pytest.raises(ApiError) as error:
        read(**body)
    assert error.value.status == 400 and error.value.param.split(".")[0] == param


def test_what_changes_nothing_is_taken_and_null_is_the_default():
    fields = read(prompt="a", user="me", metadata={"a": "b"}, n=None, stop=None, temperature=None, top_p=None, logprobs=None)
    assert fields.choices == 1 and fields.stops == () and fields.sampling(10) == Sampling()


def test_a_prompt_is_a_text_ids_or_several_of_either():
    for prompt in ("a", ["a", "b"], [1, 2], [[1], [2, 3]], ""):
        assert read(prompt=prompt).prompt == prompt


def test_messages_may_come_in_parts_and_developers_are_the_system():
    fields = read(messages=[{"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "kind."}]}])
    assert [message.message for message in fields.messages] == [{"role": "system", "content": "Be kind."}]


def test_seeds_are_kept_and_drawn_where_none_is_given():
    assert read(prompt="a", seed=5).first_seed() == 5 and read(prompt="a", seed=-1).first_seed() == 2**63 - 1
    assert read(prompt="a").first_seed() != read(prompt="a").first_seed()


def test_a_bias_outside_of_the_vocabulary_is_refused():
    with pytest.raises(ApiError, match="outside of the vocabulary"):
        read(prompt="a", logit_bias={"10": 1}).sampling(10)


@pytest.mark.parametrize(("kind", "field"), [(CompletionFields, "prompt"), (CompletionFields, "stop"), (ChatFields, "messages")])
def test_a_list_of_a_million_faults_is_left_at_the_first(kind, field):
    body = b'{"prompt": "a", "%s": [%s]}' % (field.encode(), b",".join([b"{}"] * 200_000))
    tracemalloc.start()
    try:
        with pytest.raises(ApiError):
            read_fields(kind, body)
        assert tracemalloc.get_traced_memory()[1] < 30 * 2**20
    finally:
        tracemalloc.stop()


def test_lists_have_an_end_and_it_is_told():
    for body in ({"prompt": [[1]] * 8193}, {"prompt": ["a"] * 8193}, {"messages": [{"role": "user", "content": "a"}] * 8193}):
        with pytest.raises(ApiError, match="at most 8192 items"):
            read(**body)
