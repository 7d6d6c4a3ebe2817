"""The Graph API: a call as received in any of its encodings, and the errors it is refused with."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import attrs
from aiohttp import BodyPartReader, web

from ..strict_json import NotStrictJson, read_json

# messenger.md 3, errors, by subcode [ERRO, SND, MED, SAV].
WINDOW_CLOSED = 2018278
NO_MATCHING_USER = 2018001
NOT_A_FACEBOOK_URL = 2018185
ATTACHMENT_NOT_OWNED = 2018074


class GraphRefusal(Exception):
    """
    A call that Facebook would refuse; it becomes the answer's ``error``.

    The message is as Facebook words it, without the code in front.
    """

    def __init__(
        self, message: str, *, code: int = 100, subcode: int | None = None, kind: str = "OAuthException"
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.subcode = subcode
        self.kind = kind

    def body(self, trace_id: str) -> dict[str, Any]:
        """The answer's JSON object."""
        error: dict[str, Any] = {"message": f"(#{self.code}) {self.message}", "type": self.kind, "code": self.code}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        return {"error": {**error, "fbtrace_id": trace_id}}


def refuse_unless(condition: object, message: str, *, code: int = 100, subcode: int | None = None) -> None:
    """Raise `GraphRefusal` with *message* if *condition* is false."""
    if not condition:
        raise GraphRefusal(message, code=code, subcode=subcode)


@attrs.frozen(kw_only=True)
class ReceivedCall:
    """
    One call, in whichever way it was encoded.

    Attributes:
        node: First part of the path after the version: ``me``, the id of a Page or of a person.
        edge: Second part of the path, such as ``messages``; empty if there is none.
        body: The fields; members given as JSON text are decoded.
        access_token: From header, query or body; empty if there is none.
    """

    method: str
    node: str
    edge: str = ""
    query: Mapping[str, str]
    body: dict[str, Any]
    has_file: bool = False
    access_token: str = attrs.field(repr=False)

    @property
    def content(self) -> dict[str, Any]:
        """The fields without those that authorize the call."""
        return {name: value for name, value in self.body.items() if name not in ("access_token", "appsecret_proof")}

    def field(self, name: str) -> Any:
        """A parameter that may be in the body or the query; ``None`` if it is in neither."""
        return self.body.get(name, self.query.get(name))


async def read_call(request: web.Request) -> ReceivedCall:
    """
    Read *request* as JSON, form or multipart: messenger.md 3, body encodings [SAPI, SAV].

    Raises:
        GraphRefusal: The body is none of them.
    """
    has_file = False
    body: dict[str, Any] = {}
    if request.content_type == "multipart/form-data":
        body, has_file = await _read_multipart(request)
    elif request.content_type == "application/x-www-form-urlencoded":
        body = dict((await request.post()).items())
    elif raw := await request.read():
        body = _read_object(raw)
    decoded = {name: _decoded(value) for name, value in body.items()}
    return ReceivedCall(
        method=request.method,
        node=request.match_info.get("node", ""),
        edge=request.match_info.get("edge", ""),
        query=dict(request.query),
        body=decoded,
        has_file=has_file,
        access_token=_token(request, decoded),
    )


async def _read_multipart(request: web.Request) -> tuple[dict[str, Any], bool]:
    body: dict[str, Any] = {}
    has_file = False
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader) or part.name is None:
                continue
            content = bytes(await part.read(decode=True))
            if part.name == "filedata":
                has_file = True
            else:
                body[part.name] = content.decode("utf-8")
    except ValueError as exc:
        msg = "The multipart body cannot be read"
        raise GraphRefusal(msg) from exc
    return body, has_file


def _read_object(raw: bytes) -> dict[str, Any]:
    try:
        body = read_json(raw)
    except NotStrictJson as exc:
        msg = "The body is not valid JSON"
        raise GraphRefusal(msg) from exc
    refuse_unless(isinstance(body, dict), "The body must be a JSON object")
    return dict(body)


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


def authorize(call: ReceivedCall, page_tokens: Mapping[str, str], app_secret: str, *, require_proof: bool) -> str:
    """The id of the Page whose token is in the call; an ``appsecret_proof`` that is given must be right in any case."""
    # messenger.md 3, endpoint [SAPI]; `appsecret_proof` [SEC]; errors, 190.
    refuse_unless(call.access_token, "An access token is required to request this resource.", code=104)
    page_id = page_tokens.get(call.access_token)
    if page_id is None:
        msg = "Invalid OAuth access token."
        raise GraphRefusal(msg, code=190)
    proof = call.field("appsecret_proof")
    if proof is None and require_proof:
        msg = "API calls from the server require an appsecret_proof argument"
        raise GraphRefusal(msg, kind="GraphMethodException")
    expected = hmac.new(app_secret.encode(), call.access_token.encode(), hashlib.sha256).hexdigest()
    if proof is not None and not hmac.compare_digest(str(proof).encode(), expected.encode()):
        msg = "Invalid appsecret_proof provided in the API argument"
        raise GraphRefusal(msg, kind="GraphMethodException")
    return page_id
