"""A call of the Graph API, read from any of the encodings it may come in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from aiohttp import BodyPartReader, web

from .graph_errors import GraphRefusal
from .strict_json import NotStrictJson, read_json


@attrs.frozen(kw_only=True)
class UploadedFile:
    """
    The file of a multipart call.

    Attributes:
        filename: As sent; ``None`` if it had none.
        content_type: As sent.
        content: Its bytes.
    """

    filename: str | None
    content_type: str
    content: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class ReceivedCall:
    """
    One call, whichever way it was encoded.

    Attributes:
        method: HTTP method.
        node: First part of the path after the version: ``me``, a Page's or a person's id.
        edge: Second part of the path, such as ``messages``; empty if there is none.
        query: The query's parameters.
        body: The fields; members given as JSON text are decoded.
        file: The uploaded file; ``None`` if there is none.
        access_token: From header, query or body; empty if there is none.
    """

    method: str
    node: str
    edge: str = ""
    query: Mapping[str, str]
    body: dict[str, Any]
    file: UploadedFile | None = None
    access_token: str = attrs.field(repr=False)

    def field(self, name: str) -> Any:
        """A parameter that may be in the body or the query; ``None`` if it is in neither."""
        return self.body.get(name, self.query.get(name))


async def read_call(request: web.Request) -> ReceivedCall:
    """
    Read *request* as JSON, form or multipart.

    Raises:
        GraphRefusal: The body is none of them.
    """
    file: UploadedFile | None = None
    body: dict[str, Any] = {}
    if request.content_type == "multipart/form-data":
        body, file = await _read_multipart(request)
    elif request.content_type == "application/x-www-form-urlencoded":
        body = dict((await request.post()).items())
    elif request.can_read_body:
        body = _read_object(await request.read())
    decoded = {name: _decoded(value) for name, value in body.items()}
    return ReceivedCall(
        method=request.method,
        node=request.match_info.get("node", ""),
        edge=request.match_info.get("edge", ""),
        query=dict(request.query),
        body=decoded,
        file=file,
        access_token=_token(request, decoded),
    )


async def _read_multipart(request: web.Request) -> tuple[dict[str, Any], UploadedFile | None]:
    body: dict[str, Any] = {}
    file: UploadedFile | None = None
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader) or part.name is None:
                continue
            content = bytes(await part.read(decode=True))
            if part.name == "filedata":
                kind = part.headers.get("Content-Type", "application/octet-stream")
                file = UploadedFile(filename=part.filename, content_type=kind, content=content)
            else:
                body[part.name] = content.decode("utf-8")
    except ValueError as exc:
        msg = "The multipart body cannot be read"
        raise GraphRefusal(msg) from exc
    return body, file


def _read_object(raw: bytes) -> dict[str, Any]:
    try:
        body = read_json(raw)
    except NotStrictJson as exc:
        msg = "The body is not valid JSON"
        raise GraphRefusal(msg) from exc
    if not isinstance(body, dict):
        msg = "The body must be a JSON object"
        raise GraphRefusal(msg)
    return body


def _decoded(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return read_json(value.encode("utf-8", "replace"))
        except NotStrictJson:
            return value
    return value


def _token(request: web.Request, body: Mapping[str, Any]) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return str(request.query.get("access_token") or body.get("access_token") or "")
