"""A local Kochava that checks every request field by field and keeps what it accepted."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
from aiohttp import hdrs, web

from ...clock import Clock, SystemClock
from ..local_server import LocalServer
from ..strict_json import NotStrictJson, read_json
from .records import Arrivals, KochavaRecord, RecordKind, Rejection
from .rules import (
    MAXIMUM_BODY_BYTES,
    KochavaCredentials,
    Profile,
    RuleViolation,
    check_authentication,
    check_headers,
    check_identity_link,
    check_ping,
    check_scrub,
    check_track,
)

PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""The image of one pixel that an impression is answered with."""

ACCEPTED = {"success": "1"}
"""The JSON body that each accepted event, install and identity link is answered with."""


@attrs.frozen(kw_only=True)
class KochavaOptions:
    """
    How strict a local Kochava is.

    Attributes:
        profile: ``bot`` or ``s2s``: which fields are required.
        credentials: Strict authentication per App GUID; without an entry, an app needs none.
        trackers: Known ``campaign_id`` values; ``None`` accepts any.
        scrub_key: The ``Authentication-Key`` of the privacy API; ``None`` accepts any that is not empty.
        install_first: Whether events of a device without an install are refused.
    """

    profile: Profile = "bot"
    credentials: Mapping[str, KochavaCredentials] = attrs.field(factory=dict)
    trackers: Collection[str] | None = None
    scrub_key: str | None = None
    install_first: bool = False


class LocalKochava(Arrivals, LocalServer):
    """
    Stands in for ``control.kochava.com``, ``imp.control.kochava.com``, ``nng.kochava.com`` and a ``smart.link`` host.

    Attributes:
        records: Everything accepted, in order of arrival.
        rejections: Everything refused, with the reason. Requests that met a fault are in neither list.
        ignored_installs: Installs of a device that was installed before: answered with success, but not recorded.

    Args:
        app_ids: The App GUIDs of this account.
        smartlinks: Path of each SmartLink, such as ``/ab12cd34e``, and its destination with ``{key}``; may be changed.
        options: How strict it is.
        clock: Gives arrival times and decides what is in the future.
    """

    def __init__(
        self,
        *,
        app_ids: Collection[str],
        smartlinks: Mapping[str, str] | None = None,
        options: KochavaOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        Arrivals.__init__(self)
        LocalServer.__init__(self, clock=clock or SystemClock())
        self.smartlinks = dict(smartlinks or {})
        self.rejections: list[Rejection] = []
        self.ignored_installs: list[KochavaRecord] = []
        self._app_ids = frozenset(app_ids)
        self._options = options or KochavaOptions()
        self._seen: set[tuple[str, str, str]] = set()
        self._installed: set[tuple[str, str, str]] = set()

    def settings(self) -> dict[str, Any]:
        """
        The settings with which a `KochavaMiddleware` sends everything to this server::

            KochavaMiddleware.from_dict({"kochava_app_id": "kotest", "store": "memory://", **kochava.settings()})

        They include the addresses of a greeting; ``greeting`` given after them replaces these.
        """
        campaign = min(self._options.trackers) if self._options.trackers else "kogreet"
        tracker = f"campaign_id={campaign}&network_id=1"
        return {
            "wire": {"base_url": self.url},
            "greeting": {
                "impression_url": f"{self.url}/track/impression?{tracker}",
                "click_url": f"{self.url}/v1/cpi/click?{tracker}",
            },
        }

    def application(self) -> web.Application:
        application = web.Application(client_max_size=2 * MAXIMUM_BODY_BYTES)
        application.router.add_post("/track/json", self._track)
        application.router.add_post("/v1/cpi/identityLink.php", self._identity_link)
        application.router.add_get("/track/impression", self._impression, allow_head=False)
        application.router.add_get("/v1/cpi/click", self._click, allow_head=False)
        application.router.add_post("/accounts/{account}/privacy/scrub", self._scrub)
        application.router.add_post("/accounts/{account}/apps/{app}/privacy/scrub", self._scrub)
        application.router.add_route("*", "/{tail:.*}", self._smartlink)
        return application

    async def _track(self, request: web.Request) -> web.Response:
        raw = await request.read()
        body, refusal = self._read(raw)
        data = body.get("data") if isinstance(body, dict) else None
        refusal = (
            refusal
            or check_headers(request.headers, data)
            or check_track(body, app_ids=self._app_ids, now=self.clock.now(), profile=self._options.profile)
            or self._authenticate(request, raw, body)
            or self._check_history(body)
        )
        if refusal is not None:
            return await self._refuse(request, refusal)
        self._remember(RecordKind(body["action"]), body)
        return web.json_response(ACCEPTED)

    async def _identity_link(self, request: web.Request) -> web.Response:
        body, refusal = self._read(await request.read())
        refusal = refusal or check_identity_link(body, app_ids=self._app_ids)
        if refusal is None and not self._devices(body["kochava_app_id"], body["device_id"]) & self._seen:
            refusal = RuleViolation(reason="device_id is of a device that this app never had a record of")
        if refusal is not None:
            return await self._refuse(request, refusal)
        self._record(
            RecordKind.IDENTITY_LINK,
            app_id=body["kochava_app_id"],
            device_ids=body["device_id"],
            params=body["data"],
            body=body,
        )
        return web.json_response(ACCEPTED)

    async def _impression(self, request: web.Request) -> web.Response:
        answer = web.Response(body=PIXEL, content_type="image/gif")
        return await self._ping(request, RecordKind.IMPRESSION, answer)

    async def _click(self, request: web.Request) -> web.Response:
        answer = web.Response(status=302, headers={hdrs.LOCATION: "https://store.example/app"})
        return await self._ping(request, RecordKind.CLICK, answer)

    async def _ping(self, request: web.Request, kind: RecordKind, answer: web.Response) -> web.Response:
        params = query_params(request.raw_path)
        refusal = check_ping(kind, params, trackers=self._options.trackers)
        if refusal is not None:
            return await self._refuse(request, refusal)
        query = dict(params)
        self._record(kind, name=query["campaign_id"], params=query)
        return answer

    async def _smartlink(self, request: web.Request) -> web.Response:
        template = self.smartlinks.get(request.path) if request.method == hdrs.METH_GET else None
        if template is None:
            reason = f"this path does not exist for {request.method}"
            return await self._refuse(request, RuleViolation(reason=reason, status=404))
        params = query_params(request.raw_path)
        location = fill_destination(template, params)
        if location is None:
            reason = f"the SmartLink's destination {template!r} does not give an absolute address"
            return await self._refuse(request, RuleViolation(reason=reason, status=404))
        self._record(RecordKind.SMARTLINK_CLICK, name=request.path, params=dict(params), location=location)
        return web.Response(status=302, headers={hdrs.LOCATION: location})

    async def _scrub(self, request: web.Request) -> web.Response:
        body, refusal = self._read(await request.read())
        key = request.headers.get("Authentication-Key", "")
        if not key or (self._options.scrub_key is not None and key != self._options.scrub_key):
            refusal = RuleViolation(reason="Authentication-Key is missing or wrong", status=401)
        refusal = refusal or check_scrub(body)
        if refusal is not None:
            return await self._refuse(request, refusal)
        ids = {one["id_type"]: one["id_value"] for one in body["device_ids"]}
        self._record(RecordKind.SCRUB, device_ids=ids, name=request.match_info.get("app", ""), body=body)
        job = f"scrub-{len(self.scrubs)}"
        return web.json_response({"status": "OK", "response": "200", "job_status": "queued", "job_id": job})

    def _read(self, raw: bytes) -> tuple[Any, RuleViolation | None]:
        if len(raw) > MAXIMUM_BODY_BYTES:
            return None, RuleViolation(reason="the body is larger than 2 MB", status=413)
        try:
            return read_json(raw), None
        except NotStrictJson as exc:
            return None, RuleViolation(reason=str(exc))

    def _authenticate(self, request: web.Request, raw: bytes, body: Mapping[str, Any]) -> RuleViolation | None:
        credentials = self._options.credentials.get(body["kochava_app_id"])
        return check_authentication(request.headers, raw, body, credentials) if credentials else None

    def _check_history(self, body: Mapping[str, Any]) -> RuleViolation | None:
        devices = self._devices_of(body)
        known = {(app_id, value) for app_id, _, value in self._seen}
        if body["action"] == "identityLink" and (body["kochava_app_id"], body["kochava_device_id"]) not in known:
            return RuleViolation(reason="kochava_device_id is of a device that this app never had a record of")
        if body["action"] == "install" and devices & self._seen and not devices & self._installed:
            return RuleViolation(reason="the install comes after the device's first event")
        if body["action"] == "event" and self._options.install_first and not devices & self._installed:
            return RuleViolation(reason="the event comes before the device's install")
        return None

    def _remember(self, kind: RecordKind, body: Mapping[str, Any]) -> None:
        data = body["data"]
        devices = self._devices_of(body)
        record = KochavaRecord(
            kind=kind,
            at=self.clock.now(),
            app_id=body["kochava_app_id"],
            device_ids=data.get("device_ids", {}),
            name=data.get("event_name", ""),
            params=data.get("identity_link", {}),
            event_data=data.get("event_data"),
            usertime=data.get("usertime"),
            body=body,
        )
        self._seen |= devices
        if kind is RecordKind.INSTALL and devices & self._installed:
            self.ignored_installs.append(record)
            return
        if kind is RecordKind.INSTALL:
            self._installed |= devices
        self.add(record)

    def _devices_of(self, body: Mapping[str, Any]) -> set[tuple[str, str, str]]:
        ids = dict(body["data"].get("device_ids", {}))
        if body.get("kochava_device_id"):
            ids["kochava_device_id"] = body["kochava_device_id"]
        return self._devices(body["kochava_app_id"], ids)

    @staticmethod
    def _devices(app_id: str, ids: Mapping[str, str]) -> set[tuple[str, str, str]]:
        return {(app_id, name, value) for name, value in ids.items()}

    def _record(self, kind: RecordKind, **fields: Any) -> None:
        self.add(KochavaRecord(kind=kind, at=self.clock.now(), **fields))

    async def _refuse(self, request: web.Request, refusal: RuleViolation) -> web.Response:
        raw = await request.read()
        self.rejections.append(
            Rejection(
                at=self.clock.now(),
                method=request.method,
                path=request.raw_path,
                status=refusal.status,
                reason=refusal.reason,
                raw=raw,
            )
        )
        return web.json_response({"success": "0", "error": refusal.reason}, status=refusal.status)


def query_params(raw_path: str) -> list[tuple[str, str]]:
    """The decoded query of a request line's target, in order, empty values included."""
    return parse_qsl(raw_path.partition("?")[2], keep_blank_values=True)


def fill_destination(template: str, params: Sequence[tuple[str, str]]) -> str | None:
    """
    The address that a click on a SmartLink is redirected to.

    Keys are case-sensitive; a key that is not in the query is left empty; the first of several values counts.

    Args:
        template: The configured destination, such as ``{url}`` or ``https://shop.example{path}``.
        params: The decoded query of the click.

    Returns:
        The destination, or ``None`` if the result is not an absolute address.
    """
    values: dict[str, str] = {}
    for name, value in params:
        values.setdefault(name, value)
    destination = re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], ""), template)
    if any(character < " " or character == "\x7f" for character in destination):
        return None
    try:
        parts = urlsplit(destination)
    except ValueError:
        return None
    return destination if parts.scheme and (parts.netloc or parts.path) else None
