"""`pellucid serve RUN_OR_EXPORT`: an OpenAI-compatible server over one model."""

import argparse
import os
from importlib.util import find_spec
from pathlib import Path

from pellucid.cli.engine_shape import engine_shape
from pellucid.cli.output import print_text
from pellucid.core.errors import MissingExtraError, UsageError
from pellucid.serve.settings import ServerSettings
from pellucid.stages.served import open_served

__all__ = ["command"]


def command(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes; running requests are finished then."""
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "serve", "serving a model")
    from pellucid.serve.app import make_app
    from pellucid.serve.run import serve

    # Before anything is loaded: a port without a key, a limit that allows nothing.
    settings = ServerSettings(
        host=arguments.host,
        port=arguments.port,
        key=_key(arguments.key_variable),
        allowed_hosts=tuple(arguments.allow_host),
        max_waiting=arguments.max_waiting,
        deadline_s=arguments.deadline_s,
    )
    shape = engine_shape(arguments, slots=arguments.slots)
    model = open_served(Path(arguments.target), shape, arguments.name)
    try:
        facts = f"{model.engine.identity['engine']}, {model.engine.context_tokens} tokens of context"
        if settings.key is not None:
            facts += ", with a key"
        end = "Ctrl-C ends it once running requests are finished."
        serve(
            make_app(model, settings),
            settings,
            lambda address: print_text(f"{model.name} is served at {address}/v1 ({facts}); chat with it at {address}/. {end}"),
        )
    finally:
        model.engine.close()
    return 0


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(f"--key-variable: the environment variable {variable} is not set or empty")
    return key
