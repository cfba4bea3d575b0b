from pellucid.evals.endpoint.client import Refusal
from pellucid.serve.errors import ApiError, context_exceeded, invalid


def test_the_body_has_openais_four_fields_and_a_type_by_status():
    body = ApiError(429, "full", code="queue_full", headers={"Retry-After": "1"}).body
    assert body == {"error": {"message": "full", "type": "rate_limit_error", "param": None, "code": "queue_full"}}
    assert invalid("n", "must be 1 or more").body["error"] == {
        "message": "n: must be 1 or more", "type": "invalid_request_error", "param": "n", "code": "invalid_value",
    }  # fmt: skip


def test_our_own_client_knows_a_prompt_that_is_too_long():
    error = context_exceeded("prompt", 300, 10, 256)
    assert "256" in str(error) and "310" in str(error)
    assert Refusal("", error.status, str(error)).is_too_long
