"""The interface described by itself: OpenAPI 3.1, request bodies as they are checked, answers as they are written."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from pellucid import __version__
from pellucid.serve.fields import ChatFields, CompletionFields, TrainingMatchesFields

__all__ = ["openapi"]

_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_TEXT_OR_NONE: dict[str, Any] = {"type": ["string", "null"]}
_COUNT_OR_NONE: dict[str, Any] = {"type": ["integer", "null"], "minimum": 0}
_LOGPROB: dict[str, Any] = {"type": ["number", "null"]}
_FINISH: dict[str, Any] = {"enum": ["stop", "length", None]}


def openapi(*, with_key: bool) -> dict[str, Any]:
    """Return the description; `with_key`, it asks for one."""
    kinds: tuple[type[BaseModel], ...] = (CompletionFields, ChatFields, TrainingMatchesFields)
    bodies: list[tuple[type[BaseModel], Any]] = [(kind, "validation") for kind in kinds]
    _, definitions = models_json_schema(bodies, ref_template="#/components/schemas/{model}")
    security: dict[str, Any] = {"security": [{"key": []}]} if with_key else {}
    models = _object({"object": {"const": "list"}, "data": {"type": "array", "items": _MODEL}})
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pellucid", "version": __version__, "description": "An OpenAI-compatible interface to one model."},
        "paths": {
            "/v1/completions": {"post": _post("Continue a text", "CompletionFields", _COMPLETION) | security},
            "/v1/chat/completions": {"post": _post("Answer a conversation", "ChatFields", _CHAT) | security},
            "/v1/training_matches": {"post": _matches() | security},
            "/v1/models": {"get": _get("List the model that is served", models) | security},
            "/v1/models/{name}": {
                "get": _get("Describe a model", _MODEL)
                | {"parameters": [{"name": "name", "in": "path", "required": True, "schema": _TEXT}]}
                | security
            },
            "/health": {"get": _get("Tell whether the server takes requests", _object({"status": {"enum": ["ok", "stopping"]}}))},
            "/metrics": {"get": _get("Counters for Prometheus", _TEXT, "text/plain") | security},
        },
        "components": {
            "schemas": definitions["$defs"] | {"Error": _ERROR},
            "responses": {
                "Error": {
                    "description": "What is wrong, and how to mend it",
                    "content": _content({"$ref": "#/components/schemas/Error"}),
                }
            },
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _object(properties: dict[str, Any], *optional: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [name for name in properties if name not in optional]}


def _content(schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    return {kind: {"schema": schema}}


def _get(summary: str, schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": summary, "content": _content(schema, kind)}, **_FAILURES}}


def _post(summary: str, fields: str, schema: dict[str, Any]) -> dict[str, Any]:
    events = {"type": "string", "description": "with `stream`: lines `data: {…}`, the last `data: [DONE]`"}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": _content({"$ref": f"#/components/schemas/{fields}"})},
        "responses": {
            "200": {"description": "The answer", "content": _content(schema) | _content(events, "text/event-stream")},
            **_FAILURES,
        },
    }


def _matches() -> dict[str, Any]:
    found = _post("Find the words of a text in the training data", "TrainingMatchesFields", _MATCHES)
    del found["responses"]["200"]["content"]["text/event-stream"]
    return found


def _answers(kind: str, choice: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a whole response; `choice` is what an answer has beside its number and its end."""
    return _object(
        {
            "id": _TEXT,
            "object": {"const": kind},
            "created": {"type": "integer"},
            "model": _TEXT,
            "choices": {"type": "array", "items": _object({"index": _COUNT, **choice, "finish_reason": _FINISH})},
            "usage": _USAGE,
        }
    )


_FAILURES: dict[str, Any] = {
    str(status): {"$ref": "#/components/responses/Error"} for status in (400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 503, 504)
}
_ERROR = _object(
    {
        "error": _object(
            {"message": _TEXT, "type": _TEXT, "param": {"type": ["string", "null"]}, "code": {"type": ["string", "null"]}}
        )
    }
)
_MODEL = _object({"id": _TEXT, "object": {"const": "model"}, "created": {"type": "integer"}, "owned_by": _TEXT})
_USAGE = _object({"prompt_tokens": _COUNT, "completion_tokens": _COUNT, "total_tokens": _COUNT})
_COMPLETION_LOGPROBS = _object(
    {
        "tokens": {"type": "array", "items": _TEXT},
        "token_logprobs": {"type": "array", "items": _LOGPROB},
        "top_logprobs": {"type": ["array", "null"]},
        "text_offset": {"type": "array", "items": _COUNT},
    }
)
_COMPLETION = _answers("text_completion", {"text": _TEXT, "logprobs": {"anyOf": [_COMPLETION_LOGPROBS, {"type": "null"}]}})
_NAMED = {"token": _TEXT, "logprob": _LOGPROB, "bytes": {"type": "array", "items": _COUNT}}
_CHAT_LOGPROBS = _object({"content": {"type": "array", "items": _object({**_NAMED, "top_logprobs": {"type": "array"}})}})
_CHAT = _answers(
    "chat.completion",
    {
        "message": _object({"role": {"const": "assistant"}, "content": _TEXT}),
        "logprobs": {"anyOf": [_CHAT_LOGPROBS, {"type": "null"}]},
    },
)
_FOUND_IN = _object(
    {
        "source": _TEXT,
        "document": _COUNT,
        **dict.fromkeys(("id", "language", "licence", "origin"), _TEXT_OR_NONE),
        "place": _COUNT,
        "before": _TEXT,
        "match": _TEXT,
        "after": _TEXT,
        "begins": {"type": "boolean"},
        "ends": {"type": "boolean"},
    }
)
_RUN = _object(
    {
        **dict.fromkeys(("begin", "end", "tokens"), _COUNT),
        "text": _TEXT,
        **dict.fromkeys(("begin_char", "end_char"), _COUNT_OR_NONE),
        **dict.fromkeys(("places", "documents"), _COUNT),
        "shown": {"type": "array", "items": _FOUND_IN},
    }
)
_MATCHES = _object(
    {
        "object": {"const": "training_matches"},
        **dict.fromkeys(("min_tokens", "tokens", "covered_tokens"), _COUNT),
        "complete": {"type": "boolean"},
        "searched": _object({"run": _TEXT, **dict.fromkeys(("sources", "documents", "tokens"), _COUNT)}),
        "runs_in_all": _COUNT,
        "runs": {"type": "array", "items": _RUN},
    }
)
