"""The pages: plain files from `web/`, with headers that let a browser run our scripts and nobody else's.

What is served is decided once, by walking the folder at start: a path that is not in that list does not exist, so there
is nothing to escape from. Contents are read again when a file changes, for whoever works on the pages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

DEFAULT_ROOT: Final = Path(__file__).resolve().parents[2] / "web"

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_INDEX: Final = "index.html"


def web_routes(root: Path | None = None) -> list[BaseRoute]:
    """One route per file below `root` (the checkout's `web/` unless told), `index.html` as its folder.

    Raises `FileNotFoundError` if the folder has no start page: a process without its pages should not start silently.
    """
    root = (root or DEFAULT_ROOT).resolve()
    if not (root / _INDEX).is_file():
        raise FileNotFoundError(f"there are no web pages in {root}")
    routes: list[BaseRoute] = []
    for path in sorted(root.rglob("*")):
        # A link could lead anywhere, and a hidden file is nobody's page.
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.suffix not in _TYPES or hidden or path.is_symlink() or not path.is_file():
            continue
        url = "/" + path.relative_to(root).as_posix()
        if path.name == _INDEX:
            url = url.removesuffix(_INDEX)
            if url != "/":
                routes.append(_get(url.rstrip("/"), _to_folder(url)))
        routes.append(_get(url, _File(path).answer))
    return routes


def _get(url: str, endpoint: Callable[[Request], Response]) -> Route:
    # Starlette adds HEAD to GET by itself.
    return Route(url, endpoint, methods=["GET"], include_in_schema=False)


def _to_folder(url: str) -> Callable[[Request], Response]:
    def redirect(request: Request) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(url + query, status_code=308, headers=SECURITY_HEADERS)

    return redirect


@dataclass(slots=True)
class _File:
    """One file, its bytes and their tag, as of the last change on disk."""

    path: Path
    _known: tuple[tuple[int, int], bytes, str] | None = None

    def answer(self, request: Request) -> Response:
        """The file, or `304` to a browser that has it. Runs in a worker thread, as it touches the disk."""
        try:
            body, etag = self._read()
        except OSError:
            return Response("gone\n", 404, SECURITY_HEADERS, "text/plain; charset=utf-8")
        headers = {**SECURITY_HEADERS, "Cache-Control": "no-cache", "ETag": etag}
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        if etag in known or "*" in known:
            return Response(status_code=304, headers=headers)
        return Response(body, headers={**headers, "Content-Type": _TYPES[self.path.suffix]})

    def _read(self) -> tuple[bytes, str]:
        stat = self.path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        known = self._known
        if known is None or known[0] != stamp:
            body = self.path.read_bytes()
            # Set whole, so that two threads never see one version's bytes with the other's tag.
            known = self._known = (stamp, body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
        return known[1], known[2]
