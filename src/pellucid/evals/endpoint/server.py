"""What a server tells of itself: which models it has, its version, its longest sequence, how it counts tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pellucid.core.errors import UsageError
from pellucid.evals.endpoint.client import Client, Refusal

__all__ = ["Server", "ask_server", "tokenize"]


_NO_ROUTE = (404, 405, 501)


@dataclass(frozen=True, slots=True)
class Server:
    """`model` is the name to ask for. `software` is llama.cpp where its own interface may be used besides OpenAI's."""

    model: str
    software: Literal["llama.cpp", "other"]
    version: str | None
    context_tokens: int | None
    vocab_tokens: int | None = None


def ask_server(client: Client, model: str | None) -> Server:
    """Ask a server about itself. Raises `UsageError` when it lists no models and none is named, `EndpointError` in the end."""
    listed, header = _models(client)
    if model is None and not listed:
        raise UsageError(f"{client.base}/models lists no models: name the one to ask for (endpoint field `model`)")
    name = model or str(listed[0]["id"])
    entry: Mapping[str, Any] = next((one for one in listed if one["id"] == name), {})
    if header == "llama.cpp":
        props = client.get(f"{client.root}/props").body
        version = props.get("build_info") if isinstance(props, dict) else None
        context = client.get(f"{client.root}/props", lambda raw: int(raw["default_generation_settings"]["n_ctx"])).body
        vocab = (entry.get("meta") or {}).get("n_vocab")
        return Server(name, "llama.cpp", f"llama.cpp {version}" if version else "llama.cpp", context, vocab)
    context = entry.get("max_model_len")
    return Server(name, "other", header, context if isinstance(context, int) else None)


def tokenize(client: Client, model: str, text: str, *, begin: bool) -> list[int] | None:
    """Return a server's ids of a text, with what it puts at a text's beginning when `begin`; None where it has no such route.

    Other refusals, and an endpoint that does not answer, are raised: they say nothing about the route.
    """
    # llama.cpp reads the first two, vLLM the others.
    body = {"content": text, "add_special": begin, "model": model, "prompt": text, "add_special_tokens": begin}
    try:
        ids: list[int] = client.post(f"{client.root}/tokenize", body, lambda raw: [int(id_) for id_ in raw["tokens"]]).body
    except Refusal as refusal:
        if refusal.status in _NO_ROUTE:
            return None
        raise
    return ids


def _models(client: Client) -> tuple[list[Mapping[str, Any]], str | None]:
    def read(raw: Any) -> list[Mapping[str, Any]]:
        return [one for one in raw["data"] if isinstance(one["id"], str)]

    try:
        reply = client.get(f"{client.base}/models", read)
    except Refusal as refusal:
        if refusal.status in (401, 403):
            raise
        return [], None
    return reply.body, reply.server
