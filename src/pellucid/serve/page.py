"""The chat page: a few plain files, each at an address of its own. They need no build step and load nothing from elsewhere."""

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["page_routes"]

_FOLDER = Path(__file__).with_name("static")
# Named here, as what a machine's own table of types says may differ, and browsers run no script whose type is wrong.
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def page_routes() -> list[Route]:
    """Return a route for each file of the page; `index.html` is at `/`. Nothing beside them can be reached."""
    return [_route(path) for path in sorted(_FOLDER.iterdir()) if path.suffix in _TYPES]


def _route(path: Path) -> Route:
    content = path.read_bytes()
    # Browsers ask each time whether a file has changed, so that files of two versions never meet.
    headers = {"Cache-Control": "no-cache", "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"'}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=_TYPES[path.suffix])

    return Route("/" if path.name == "index.html" else f"/{path.name}", answer, methods=["GET"])
