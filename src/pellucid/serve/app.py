"""The server as an ASGI application: routes, errors in one shape, the guard before everything."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pellucid import __version__
from pellucid.serve.admission import Admission
from pellucid.serve.chat import plan_chat
from pellucid.serve.completions import plan_completion
from pellucid.serve.errors import ApiError
from pellucid.serve.exchange import Exchange, json_response
from pellucid.serve.fields import ChatFields, CompletionFields, read_fields
from pellucid.serve.guard import SECURITY_HEADERS, Guard
from pellucid.serve.metrics import Metrics
from pellucid.serve.model import ServedModel
from pellucid.serve.openapi import openapi
from pellucid.serve.page import page_routes
from pellucid.serve.settings import ServerSettings
from pellucid.serve.training_matches import TrainingMatches

__all__ = ["make_app"]

_LOG = logging.getLogger("uvicorn.error")
_ENDPOINTS = (
    *("/v1/completions", "/v1/chat/completions", "/v1/training_matches", "/v1/models"),
    *("/health", "/metrics", "/openapi.json"),
)


def make_app(model: ServedModel, settings: ServerSettings) -> Starlette:
    """Return the application. Its end closes the engine.

    `app.state.admission.draining = True` makes it refuse what is new. `app.state.give_up`, which is to be called after
    `app.state.drain_s`, ends what still runs and returns how many requests those were.
    """
    admission = Admission(model.engine.stats().slots, settings.max_waiting, settings.max_sequences)
    metrics = Metrics()
    exchange = Exchange(model, settings, admission, metrics)
    card = {"id": model.name, "object": "model", "created": model.created, "owned_by": "pellucid"}
    matching = TrainingMatches(model.origins, exchange)
    facts = {**model.engine.identity, "chat_format": model.chat is not None, "training_matches": matching.is_offered}
    described = card | {"max_model_len": model.engine.context_tokens, "pellucid": facts}

    async def completions(request: Request) -> Response:
        return await exchange.answer(
            request, lambda body: plan_completion(model, read_fields(CompletionFields, body), admission.most)
        )

    async def chat(request: Request) -> Response:
        return await exchange.answer(request, lambda body: plan_chat(model, read_fields(ChatFields, body), admission.most))

    def give_up() -> int:
        matching.close()
        return exchange.give_up()

    async def models(_: Request) -> Response:
        return json_response({"object": "list", "data": [described]})

    async def one_model(request: Request) -> Response:
        if request.path_params["name"] != model.name:
            raise ApiError(404, f"this server has only the model {model.name!r}", code="model_not_found", param="model")
        return json_response(described)

    async def health(_: Request) -> Response:
        if admission.draining:
            return json_response({"status": "stopping"}, 503, {"Retry-After": "30"})
        if model.engine.closed:
            return json_response({"status": "failed"}, 503)
        return json_response({"status": "ok"})

    async def shown_metrics(_: Request) -> Response:
        return Response(metrics.text(model.engine.stats()), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def description(_: Request) -> Response:
        return json_response(openapi(with_key=settings.key is not None))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            matching.close()
            model.engine.close()

    routes = [
        Route("/v1/completions", completions, methods=["POST"]),
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/training_matches", matching.answer, methods=["POST"]),
        Route("/v1/models", models, methods=["GET"]),
        Route("/v1/models/{name:path}", one_model, methods=["GET"]),
        Route("/health", health, methods=["GET"]),
        Route("/metrics", shown_metrics, methods=["GET"]),
        Route("/openapi.json", description, methods=["GET"]),
        *page_routes(),
    ]
    handlers = {HTTPException: _http_error, ApiError: _api_error}
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    app.state.admission, app.state.drain_s = admission, settings.drain_s
    app.state.give_up = give_up
    app.add_middleware(_Gate, guard=Guard(settings), metrics=metrics)
    return app


def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return json_response(error.body, error.status, error.headers)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path[:200]}"
    text = {404: f"{what}: there is nothing here", 405: f"{what}: this method is not taken here"}.get(
        error.status_code, error.detail
    )
    headers = dict(error.headers or {})
    return _api_error(request, ApiError(error.status_code, text, code={404: "not_found"}.get(error.status_code), headers=headers))


class _Gate:
    """Lets the guard look at every request, counts every response, and gives each the same headers."""

    def __init__(self, app: ASGIApp, guard: Guard, metrics: Metrics) -> None:
        self._app, self._guard, self._metrics = app, guard, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        endpoint = path if path in _ENDPOINTS else "other"

        is_begun = False

        async def sending(message: Message) -> None:
            nonlocal is_begun
            if message["type"] == "http.response.start":
                is_begun = True
                self._metrics.responded(endpoint, message["status"])
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        try:
            self._guard.check(scope["method"], path, scope["headers"])
            await self._app(scope, receive, sending)
        except ApiError as error:
            await json_response(error.body, error.status, error.headers)(scope, receive, sending)
        except Exception:
            # Not in a handler, which Starlette would put before this gate: it is counted and has its headers, like the rest.
            if is_begun:
                raise
            _LOG.exception("%s %s met an error of our own", scope["method"], endpoint)
            own = ApiError(500, "the server met an error of its own; its log says which", code="internal_error")
            await json_response(own.body, own.status)(scope, receive, sending)


_HEADERS = [
    (name.lower().encode(), value.encode()) for name, value in {**SECURITY_HEADERS, "Server": f"pellucid/{__version__}"}.items()
]
