import pytest

from pellucid.serve.errors import ApiError
from pellucid.serve.fields import CompletionFields
from pellucid.serve.plan import check_model, check_prompt, log_dictionary, requests_for, usage


def test_every_answer_has_a_seed_of_its_own_and_the_formats_ends(served):
    fields = CompletionFields(prompt="a", n=2, seed=10)
    requests = requests_for(served, fields, [[1], [2, 3]], [5, 6])
    assert [(one.ids, one.max_new_tokens, one.seed) for one in requests] == [
        ((1,), 5, 10), ((1,), 5, 11), ((2, 3), 6, 12), ((2, 3), 6, 13),
    ]  # fmt: skip
    assert all(one.stop_ids == frozenset(served.chat.stop_ids) for one in requests)


def test_a_prompt_must_fit_with_its_answer(served):
    check_prompt(served, "prompt", [1] * 200, 56)
    for ids, room in (([1] * 200, 57), ([], 1), ([608], 1)):
        with pytest.raises(ApiError):
            check_prompt(served, "prompt", ids, room)


def test_only_the_served_model_is_there(served):
    check_model(served, None)
    check_model(served, "tiny")
    with pytest.raises(ApiError) as error:
        check_model(served, "gpt-4o")
    assert error.value.status == 404


def test_of_tokens_that_look_alike_the_likelier_is_kept(served):
    assert log_dictionary(served, [(606, -1.0), (607, -2.0)]) == {"\ufffd": -1.0}


def test_counts_add_up():
    assert usage(3, 4, 2) == {
        "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "prompt_tokens_details": {"cached_tokens": 2},
    }  # fmt: skip
