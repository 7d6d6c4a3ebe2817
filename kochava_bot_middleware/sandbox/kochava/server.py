"""A local Kochava that checks every request field by field and keeps what it accepted."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
from aiohttp import hdrs, web

from ...clock import Clock, SystemClock
from ..local_server import Handler, LocalServer
from ..strict_json import NotStrictJson, read_json
from .records import KochavaRecord, RecordKind, Rejection
from .rules import (
    MAXIMUM_BODY_BYTES,
    KochavaCredentials,
    KochavaRefusal,
    Profile,
    check_authentication,
    check_headers,
    check_identity_link,
    check_ping,
    check_scrub,
    check_track,
    refuse_unless,
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
        port: Where it listens; 0: any free port.
    """

    profile: Profile = "bot"
    credentials: Mapping[str, KochavaCredentials] = attrs.field(factory=dict)
    trackers: Collection[str] | None = None
    scrub_key: str | None = None
    install_first: bool = False
    port: int = 0


class LocalKochava(LocalServer):
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
        self._options = options or KochavaOptions()
        super().__init__(clock=clock or SystemClock(), port=self._options.port)
        self.records: list[KochavaRecord] = []
        self.smartlinks = dict(smartlinks or {})
        self.rejections: list[Rejection] = []
        self.ignored_installs: list[KochavaRecord] = []
        self._app_ids = frozenset(app_ids)
        self._seen: set[tuple[str, str, str]] = set()
        self._installed: set[tuple[str, str, str]] = set()
        self._arrived = asyncio.Event()

    def settings(self) -> dict[str, Any]:
        """
        The settings with which a `KochavaMiddleware` sends everything to this server:

        ```python
        KochavaMiddleware.from_dict({"kochava_app_id": "kotest", "store": "memory://", **kochava.settings()})
        ```

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

    async def wait_until(self, condition: Callable[[], bool], *, within_seconds: float = 5.0) -> None:
        """
        Wait until *condition* holds; it is checked again after each record.

        Raises:
            TimeoutError: It did not hold within *within_seconds* of real time.
        """
        async with asyncio.timeout(within_seconds):
            while not condition():
                self._arrived.clear()
                await self._arrived.wait()

    async def received(self, count: int = 1, *, within_seconds: float = 5.0) -> list[KochavaRecord]:
        """
        Wait until *count* records were accepted, and return all.

        Raises:
            TimeoutError: They were not accepted within *within_seconds* of real time.
        """
        try:
            await self.wait_until(lambda: len(self.records) >= count, within_seconds=within_seconds)
        except TimeoutError:
            accepted = ", ".join(f"{record.kind} {record.name}".rstrip() for record in self.records) or "none"
            msg = (
                f"{len(self.records)} of {count} records were received within {within_seconds} s: {accepted}; look at"
                " `kochava.rejections` for what was refused, and at the middleware's `counts` for what was left out"
            )
            raise TimeoutError(msg) from None
        return self.records

    def of_kind(self, kind: RecordKind) -> list[KochavaRecord]:
        """The accepted records of one kind, in order of arrival."""
        return [record for record in self.records if record.kind is kind]

    @property
    def events(self) -> list[KochavaRecord]:
        """The accepted post-install events."""
        return self.of_kind(RecordKind.EVENT)

    @property
    def installs(self) -> list[KochavaRecord]:
        """The accepted installs, one per device."""
        return self.of_kind(RecordKind.INSTALL)

    @property
    def identity_links(self) -> list[KochavaRecord]:
        """The accepted identity links, from either endpoint."""
        return self.of_kind(RecordKind.IDENTITY_LINK)

    @property
    def updates(self) -> list[KochavaRecord]:
        """The accepted updates of devices, as of Kochava's SDKs."""
        return self.of_kind(RecordKind.UPDATE)

    @property
    def sessions(self) -> list[KochavaRecord]:
        """The accepted beginnings and ends of sessions, as of Kochava's SDKs."""
        return self.of_kind(RecordKind.SESSION)

    @property
    def impressions(self) -> list[KochavaRecord]:
        """The accepted impressions."""
        return self.of_kind(RecordKind.IMPRESSION)

    @property
    def clicks(self) -> list[KochavaRecord]:
        """The accepted clicks, without those on SmartLinks."""
        return self.of_kind(RecordKind.CLICK)

    @property
    def smartlink_clicks(self) -> list[KochavaRecord]:
        """The clicks on SmartLinks that had a destination."""
        return self.of_kind(RecordKind.SMARTLINK_CLICK)

    @property
    def scrubs(self) -> list[KochavaRecord]:
        """The accepted deletion requests."""
        return self.of_kind(RecordKind.SCRUB)

    def application(self) -> web.Application:
        application = web.Application(client_max_size=2 * MAXIMUM_BODY_BYTES, middlewares=[self._answer_refusals])
        for method, path, handler in (
            ("POST", "/track/json", self._track),
            ("POST", "/v1/cpi/identityLink.php", self._identity_link),
            ("GET", "/track/impression", self._impression),
            ("GET", "/v1/cpi/click", self._click),
            ("POST", "/accounts/{account}/privacy/scrub", self._scrub),
            ("POST", "/accounts/{account}/apps/{app}/privacy/scrub", self._scrub),
            ("*", "/{tail:.*}", self._smartlink),
        ):
            application.router.add_route(method, path, handler)
        return application

    @web.middleware
    async def _answer_refusals(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except KochavaRefusal as refusal:
            self.rejections.append(
                Rejection(
                    at=self.clock.now(),
                    method=request.method,
                    path=request.raw_path,
                    status=refusal.status,
                    reason=refusal.reason,
                    raw=await request.read(),
                )
            )
            return web.json_response({"success": "0", "error": refusal.reason}, status=refusal.status)

    async def _track(self, request: web.Request) -> web.Response:
        body = await _read_body(request)
        check_headers(request.headers, body.get("data") if isinstance(body, dict) else None)
        check_track(body, app_ids=self._app_ids, now=self.clock.now(), profile=self._options.profile)
        credentials = self._options.credentials.get(body["kochava_app_id"])
        if credentials is not None:
            check_authentication(request.headers, await request.read(), body, credentials)
        self._check_history(body)
        self._remember(RecordKind(body["action"]), body)
        return web.json_response(ACCEPTED)

    async def _identity_link(self, request: web.Request) -> web.Response:
        body = await _read_body(request)
        check_identity_link(body, app_ids=self._app_ids)
        # kochava.md 3, a device that was not seen before [AMP].
        is_known = _devices(body["kochava_app_id"], body["device_id"]) & self._seen
        refuse_unless(is_known, "device_id is of a device that this app never had a record of")
        self._record(
            RecordKind.IDENTITY_LINK,
            app_id=body["kochava_app_id"],
            device_ids=body["device_id"],
            params=body["data"],
            body=body,
        )
        return web.json_response(ACCEPTED)

    async def _impression(self, request: web.Request) -> web.Response:
        self._ping(request, RecordKind.IMPRESSION)
        return web.Response(body=PIXEL, content_type="image/gif")

    async def _click(self, request: web.Request) -> web.Response:
        self._ping(request, RecordKind.CLICK)
        return web.Response(status=302, headers={hdrs.LOCATION: "https://store.example/app"})

    def _ping(self, request: web.Request, kind: RecordKind) -> None:
        params = query_params(request.raw_path)
        check_ping(kind, params, trackers=self._options.trackers)
        query = dict(params)
        self._record(kind, name=query["campaign_id"], params=query)

    async def _smartlink(self, request: web.Request) -> web.Response:
        # kochava.md 6, dynamic destination [SOC, DDL].
        template = self.smartlinks.get(request.path) if request.method == hdrs.METH_GET else None
        if template is None:
            reason = f"this path does not exist for {request.method}"
            raise KochavaRefusal(reason, status=404)
        params = query_params(request.raw_path)
        location = fill_destination(template, params)
        if location is None:
            reason = f"the SmartLink's destination {template!r} does not give an absolute address"
            raise KochavaRefusal(reason, status=404)
        self._record(RecordKind.SMARTLINK_CLICK, name=request.path, params=dict(params), location=location)
        return web.Response(status=302, headers={hdrs.LOCATION: location})

    async def _scrub(self, request: web.Request) -> web.Response:
        # kochava.md 8, deletion API [DSR].
        key, wanted = request.headers.get("Authentication-Key", ""), self._options.scrub_key
        refuse_unless(key and wanted in (None, key), "Authentication-Key is missing or wrong", status=401)
        body = await _read_body(request)
        check_scrub(body)
        ids = {one["id_type"]: one["id_value"] for one in body["device_ids"]}
        self._record(RecordKind.SCRUB, device_ids=ids, name=request.match_info.get("app", ""), body=body)
        job = f"scrub-{len(self.scrubs)}"
        return web.json_response({"status": "OK", "response": "200", "job_status": "queued", "job_id": job})

    def _check_history(self, body: Mapping[str, Any]) -> None:
        devices = _devices_of(body)
        is_seen, is_installed = bool(devices & self._seen), bool(devices & self._installed)
        if body["action"] == "identityLink":
            wanted = (body["kochava_app_id"], body["kochava_device_id"])
            # kochava.md 3, a device that was not seen before [AMP].
            is_known = any(wanted == (app_id, value) for app_id, _, value in self._seen)
            refuse_unless(is_known, "kochava_device_id is of a device that this app never had a record of")
        if body["action"] == "install":
            # kochava.md 4, at the very first launch [INS].
            refuse_unless(is_installed or not is_seen, "the install comes after the device's first event")
        # kochava.md 4, installs before events [EVT].
        if body["action"] == "event" and self._options.install_first:
            refuse_unless(is_installed, "the event comes before the device's install")

    def _remember(self, kind: RecordKind, body: Mapping[str, Any]) -> None:
        data = body["data"]
        devices = _devices_of(body)
        record = KochavaRecord(
            kind=kind,
            at=self.clock.now(),
            app_id=body["kochava_app_id"],
            device_ids=data.get("device_ids", {}),
            name=data.get("event_name", ""),
            params=data.get("identity_link", {}),
            event_data=data.get("event_data"),
            usertime=None if data.get("usertime") is None else int(data["usertime"]),
            body=body,
        )
        self._seen |= devices
        # kochava.md 4, a new install of a known device [RECON].
        if kind is RecordKind.INSTALL and devices & self._installed:
            self.ignored_installs.append(record)
            return
        if kind is RecordKind.INSTALL:
            self._installed |= devices
        self._add(record)

    def _add(self, record: KochavaRecord) -> None:
        self.records.append(record)
        self._arrived.set()

    def _record(self, kind: RecordKind, **fields: Any) -> None:
        self._add(KochavaRecord(kind=kind, at=self.clock.now(), **fields))


async def _read_body(request: web.Request) -> Any:
    raw = await request.read()
    refuse_unless(len(raw) <= MAXIMUM_BODY_BYTES, "the body is larger than 2 MB", status=413)
    try:
        return read_json(raw)
    except NotStrictJson as exc:
        raise KochavaRefusal(str(exc)) from exc


def _devices_of(body: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    ids = dict(body["data"].get("device_ids", {}))
    if body.get("kochava_device_id"):
        ids["kochava_device_id"] = body["kochava_device_id"]
    return _devices(body["kochava_app_id"], ids)


def _devices(app_id: str, ids: Mapping[str, str]) -> set[tuple[str, str, str]]:
    return {(app_id, name, value) for name, value in ids.items()}


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
