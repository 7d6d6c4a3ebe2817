"""A Kochava on this machine that checks every request field by field and remembers what it accepted."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping
from typing import Any

from aiohttp import hdrs, web

from ..clock import Clock, SystemClock
from .arrivals import Arrivals
from .kochava_records import KochavaRecord, RecordKind, Rejection
from .kochava_rules import (
    MAXIMUM_BODY_BYTES,
    Credentials,
    Profile,
    RuleViolation,
    check_authentication,
    check_headers,
    check_identity_link,
    check_ping,
    check_scrub,
    check_track,
)
from .servers import LocalServer
from .smartlinks import fill_destination, query_params
from .strict_json import NotStrictJson, read_json

PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""The one-pixel picture that an impression is answered with."""


ACCEPTED = {"success": "1"}
"""What each accepted event, install and identity link is answered with, beside status 200."""


class LocalKochava(Arrivals, LocalServer):
    """
    Stands in for ``control.kochava.com``, ``imp.control.kochava.com``, ``nng.kochava.com`` and a ``smart.link`` host.

    Attributes:
        records: Everything accepted, in order of arrival.
        rejections: Everything refused, with the reason. Requests spoiled by a fault are in neither list.
        ignored_installs: Installs of a device that was installed before: answered with success, but not recorded.

    Args:
        app_ids: The App GUIDs of this account.
        smartlinks: Path of each SmartLink, such as ``/ab12cd34e``, and its destination with ``{key}``; may be changed.
        profile: Which required fields are asked for.
        credentials: Strict authentication per App GUID; without an entry, an app needs none.
        trackers: Known ``campaign_id`` values; ``None`` accepts any.
        scrub_key: The ``Authentication-Key`` of the privacy API; ``None`` accepts any that is not empty.
        install_first: Whether events of a device without an install are refused.
        clock: Tells arrival times and what lies in the future.
    """

    def __init__(
        self,
        *,
        app_ids: Collection[str],
        smartlinks: Mapping[str, str] | None = None,
        profile: Profile = Profile.BOT,
        credentials: Mapping[str, Credentials] | None = None,
        trackers: Collection[str] | None = None,
        scrub_key: str | None = None,
        install_first: bool = False,
        clock: Clock | None = None,
    ) -> None:
        Arrivals.__init__(self)
        LocalServer.__init__(self, clock=clock or SystemClock())
        self.smartlinks = dict(smartlinks or {})
        self.rejections: list[Rejection] = []
        self.ignored_installs: list[KochavaRecord] = []
        self._app_ids = frozenset(app_ids)
        self._profile = profile
        self._credentials = dict(credentials or {})
        self._trackers = trackers
        self._scrub_key = scrub_key
        self._install_first = install_first
        self._seen: set[tuple[str, str, str]] = set()
        self._installed: set[tuple[str, str, str]] = set()

    def settings(self) -> dict[str, Any]:
        """
        What a `KochavaMiddleware` needs to send everything here and nothing to the real Kochava, to be merged into its
        settings::

            KochavaMiddleware.from_dict({"kochava_app_id": "kotest", "store": "memory://", **kochava.settings()})

        The greeting is told to a tracker of this server as well; ``greeting`` given after it replaces that.
        """
        campaign = min(self._trackers) if self._trackers else "kogreet"
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
            or check_track(body, app_ids=self._app_ids, now=self.clock.now(), profile=self._profile)
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
        refusal = check_ping(kind, params, trackers=self._trackers)
        if refusal is not None:
            return await self._refuse(request, refusal)
        query = dict(params)
        self._record(kind, name=query["campaign_id"], params=query)
        return answer

    async def _smartlink(self, request: web.Request) -> web.Response:
        template = self.smartlinks.get(request.path) if request.method == hdrs.METH_GET else None
        if template is None:
            reason = f"there is nothing to {request.method} at this path"
            return await self._refuse(request, RuleViolation(reason=reason, status=404))
        params = query_params(request.raw_path)
        location = fill_destination(template, params)
        if location is None:
            reason = f"the SmartLink's destination {template!r} got no address to lead to"
            return await self._refuse(request, RuleViolation(reason=reason, status=404))
        self._record(RecordKind.SMARTLINK_CLICK, name=request.path, params=dict(params), location=location)
        return web.Response(status=302, headers={hdrs.LOCATION: location})

    async def _scrub(self, request: web.Request) -> web.Response:
        body, refusal = self._read(await request.read())
        key = request.headers.get("Authentication-Key", "")
        if not key or (self._scrub_key is not None and key != self._scrub_key):
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
        credentials = self._credentials.get(body["kochava_app_id"])
        return check_authentication(request.headers, raw, body, credentials) if credentials else None

    def _check_history(self, body: Mapping[str, Any]) -> RuleViolation | None:
        devices = self._devices_of(body)
        known = {(app_id, value) for app_id, _, value in self._seen}
        if body["action"] == "identityLink" and (body["kochava_app_id"], body["kochava_device_id"]) not in known:
            return RuleViolation(reason="kochava_device_id is of a device that this app never had a record of")
        if body["action"] == "install" and devices & self._seen and not devices & self._installed:
            return RuleViolation(reason="the install comes after the device's first event")
        if body["action"] == "event" and self._install_first and not devices & self._installed:
            return RuleViolation(reason="the event comes before the device's install")
        return None

    def _remember(self, kind: RecordKind, body: Mapping[str, Any]) -> None:
        data = body["data"]
        devices = self._devices_of(body)
        record: Callable[..., None] = self._record
        if kind is RecordKind.INSTALL and devices & self._installed:
            record = self._ignore_install
        elif kind is RecordKind.INSTALL:
            self._installed |= devices
        self._seen |= devices
        record(
            kind,
            app_id=body["kochava_app_id"],
            device_ids=data.get("device_ids", {}),
            name=data.get("event_name", ""),
            params=data.get("identity_link", {}),
            event_data=data.get("event_data"),
            usertime=data.get("usertime"),
            body=body,
        )

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

    def _ignore_install(self, kind: RecordKind, **fields: Any) -> None:
        self.ignored_installs.append(KochavaRecord(kind=kind, at=self.clock.now(), **fields))

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
