"""What the server answers when it does not answer: OpenAI's shape, one type and one code for each cause."""

from collections.abc import Mapping
from typing import Any

__all__ = ["ApiError", "context_exceeded", "invalid"]

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
    504: "timeout_error",
}


class ApiError(Exception):
    """A status with OpenAI's body `{"error": {message, type, param, code}}`. `param` is the field, `code` a word for programs."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param, self.headers = status, code, param, dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """What is sent as JSON."""
        kind = _TYPES.get(self.status, "invalid_request_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


def invalid(param: str | None, message: str) -> ApiError:
    """Return the error for a field that is not as it must be."""
    return ApiError(400, f"{param}: {message}" if param else message, param=param, code="invalid_value")


def context_exceeded(param: str, prompt_tokens: int, new_tokens: int, context_tokens: int) -> ApiError:
    """Return the error for a prompt that does not fit; programs look for OpenAI's wording of the limit."""
    asked = f"{prompt_tokens} in the prompt" + (f" and {new_tokens} to be written" if new_tokens else "")
    return ApiError(
        400,
        f"This model's maximum context length is {context_tokens} tokens; {prompt_tokens + new_tokens} were asked for ({asked}). "
        "Shorten the prompt, or ask for fewer new tokens.",
        code="context_length_exceeded",
        param=param,
    )
