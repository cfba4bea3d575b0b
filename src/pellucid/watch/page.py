"""The page as one file: markup, style and scripts put together, and the policy that lets nothing else run."""

import base64
import hashlib
from functools import cache
from pathlib import Path

__all__ = ["page"]

_FOLDER = Path(__file__).with_name("static")
_SCRIPTS = ("format.js", "data.js", "scale.js", "chart.js", "panels.js", "page.js")


@cache
def page() -> tuple[bytes, str]:
    """Return the page's bytes and its Content-Security-Policy, which allows just this style and this script, by their digests."""
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    script = "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    html = (_FOLDER / "page.html").read_text(encoding="utf-8").replace("/*STYLE*/", style).replace("/*SCRIPT*/", script)
    policy = (
        f"default-src 'none'; script-src 'sha256-{_digest(script)}'; style-src 'sha256-{_digest(style)}'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html.encode(), policy


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
