"""
Which requests the page's server accepts: those of its own page in a browser, and of programs on this machine.

A page on the internet can let a browser send requests to this machine, also under a host name of its own that it lets
point to 127.0.0.1. Neither passes.
"""

from __future__ import annotations

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from ..local_server import LOOPBACK, Handler

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer."""


def refusal(request: web.Request, port: int) -> str | None:
    """Why *request* is not accepted; ``None`` when it is."""
    names = {f"{name}:{port}" for name in (LOOPBACK, "localhost")}
    if request.headers.get(hdrs.HOST) not in names:
        return f"the Host header must be {LOOPBACK}:{port}: open http://{LOOPBACK}:{port}/"
    origin = request.headers.get(hdrs.ORIGIN)
    own = f"http://{request.headers[hdrs.HOST]}"
    if origin not in (None, own):
        return "another page must not use this one"
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    # A link in a terminal or a chat may lead here; only a whole tab can be opened so, since framing is forbidden.
    opens = request.method == hdrs.METH_GET and request.path == "/" and is_navigation(request)
    if site not in ("same-origin", "none") and not opens:
        return "another page must not use this one"
    if request.method != hdrs.METH_GET and (origin != own or request.content_type != "application/json"):
        return "a command needs the Origin of this page and a JSON body"
    return None


def is_navigation(request: web.Request) -> bool:
    """Whether a browser opens it in a tab."""
    headers = request.headers
    return headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"


def guard(port: int) -> Middleware:
    """A middleware that refuses requests of other origins, and sets the headers of every answer."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        reason = refusal(request, port)
        if reason is not None:
            response: web.StreamResponse = web.Response(status=403, text=f"Refused: {reason}.\n")
        else:
            try:
                response = await handler(request)
            except web.HTTPException as exc:
                response = web.Response(status=exc.status, text=f"{exc.reason}\n")
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    return guarded
