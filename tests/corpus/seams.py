"""All that the corpus needs of the package, as functions of plain values: the one place to edit when modules move."""

from __future__ import annotations

import enum
import functools
import io
import json
import random
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import orjson

from kochava_bot_middleware import (
    AsyncBot,
    Channel,
    Event,
    KochavaMiddleware,
    KochavaSettings,
    Outgoing,
    Reply,
    SendError,
)
from kochava_bot_middleware.exceptions import NotAWebhook
from kochava_bot_middleware.kochava.client import KochavaClient
from kochava_bot_middleware.kochava.records import UnknownRecord, UnreadableRecord, decode, encode
from kochava_bot_middleware.kochava.verdict import judge
from kochava_bot_middleware.kochava.wire import AddressNotConfigured, WireRequest, build_request
from kochava_bot_middleware.messenger.outgoing import Recipient
from kochava_bot_middleware.messenger.parsing.webhook import parse_item, parse_webhook
from kochava_bot_middleware.sandbox.messenger.webhooks import facebook_json as _facebook_json
from kochava_bot_middleware.settings import from_mapping
from kochava_bot_middleware.testing import LocalMessenger, MemoryStore, MessengerOptions, VirtualClock
from kochava_bot_middleware.tracking.links.rewriting import context_of, explain
from kochava_bot_middleware.tracking.links.rewriting import rewrite as _rewrite
from kochava_bot_middleware.tracking.settings import App, Apps

from .files import bytes_of, text_of
from .server import RecordingServer, http_answer, recording_server

NOW = 1_800_000_000.0

# Webhooks


def parse_webhook_body(body: bytes) -> dict[str, Any]:
    """
    The events of a webhook, or why it is none; and whether what an inbox stores of each gives the same event again.
    """
    try:
        events = parse_webhook(body)
    except NotAWebhook as error:
        return {"refused": str(error)}
    again = [
        parse_item(event.raw, channel=event.channel, page_id=event.page_id, standby=event.standby) for event in events
    ]
    return {"events": [_members(event) for event in events], "same_when_read_again": events == again}


def facebook_json(value: Any) -> bytes:
    """JSON as Facebook writes it."""
    return _facebook_json(value)


async def webhooks_of_people() -> list[bytes]:
    """What a local Messenger delivers when people write, tap and come back."""
    async with recording_server() as bot:
        pages = {"token": "1001", "instagram-token": "1002"}
        messenger = LocalMessenger(
            app_secret="s",
            verify_token="v",
            page_tokens=pages,
            instagram_ids=["1002"],
            options=MessengerOptions(clock=VirtualClock(NOW)),
        )
        messenger.webhook_url = bot.url
        async with messenger:
            for page_id in pages.values():
                person = messenger.person("55", page_id=page_id)
                await person.says("hello")
                await person.says("Grüße / 50 % <b> a@b.example", reply_to={"mid": "m_0"})
                await person.shares({"type": "image", "payload": {"url": "https://cdn.example/cat.gif"}})
                await person.taps({"type": "postback", "title": "Buy", "payload": "BUY"})
        return [bytes_of(request["body"]) for request in bot.take()]


def _members(record: Any) -> dict[str, Any]:
    """Class, public fields and public properties of an attrs record."""
    cls = type(record)
    names = {field.name for field in attrs.fields(cls)}
    names |= {name for name in dir(cls) if isinstance(getattr(cls, name), (property, functools.cached_property))}
    members = {name: _plain(getattr(record, name)) for name in sorted(names) if not name.startswith("_")}
    return {"class": cls.__name__, **({"kind": str(record.kind)} if isinstance(record, Event) else {}), **members}


def _plain(value: Any) -> Any:
    if attrs.has(type(value)):
        return {field.name: _plain(getattr(value, field.name)) for field in attrs.fields(type(value))}
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(member) for member in value]
    return text_of(value) if isinstance(value, bytes) else value


# Sends


async def rewrite(body: Any, settings: Mapping[str, Any], send: Mapping[str, Any]) -> dict[str, Any]:
    """
    A Send API body as it leaves, what became of each of its links, and what a whole middleware makes of it.

    Args:
        body: JSON, or ``{"$text": …}`` or ``{"$bytes": …}``.
        settings: The middleware's.
        send: ``endpoint``, ``channel``, ``page_id``, ``creative``; and ``handler``, ``ref``, ``ad_id`` of the cause.
    """
    given, links = argument(body), _app(settings, send.get("page_id")).links
    about = {name: value for name, value in send.items() if name in ("handler", "ref", "ad_id")}
    outgoing = _outgoing(given, send)
    context = context_of(outgoing, **about)
    before = _json_of(given)
    quick = _rewrite(given, links, context, endpoint=outgoing.endpoint)
    thorough = _rewrite(given, links, context, endpoint=outgoing.endpoint, every_place=True)
    outcomes = explain(given, links, context, endpoint=outgoing.endpoint, every_place=True)
    return {
        "body": _json_of(quick.body),
        "same_object": quick.body is given,
        "given_untouched": before == _json_of(given),
        "changed": quick.changed,
        "left_alone": {str(reason): count for reason, count in quick.left_alone.items()},
        "changed_of_all_places": thorough.changed,
        "links": [_link(outcome) for outcome in outcomes],
        "by_middleware": _json_of(await _through_middleware(outgoing, settings)),
    }


def _link(outcome: Any) -> dict[str, Any]:
    found: dict[str, Any] = _plain(outcome.site._asdict())
    found["room"] = found.pop("max_length")
    return {**found, "smartlink": outcome.smartlink, "left_alone": _plain(outcome.left_alone)}


async def _through_middleware(outgoing: Outgoing, settings: Mapping[str, Any]) -> Any:
    left: list[Any] = []

    async def graph(found: Outgoing) -> Any:
        left.append(found.body)
        return {"recipient_id": "1", "message_id": "m_1"}

    await _middleware(settings).chain_layer.send(outgoing, graph)
    return left[0]


def _outgoing(body: Any, send: Mapping[str, Any]) -> Outgoing:
    about = {name: send[name] for name in ("endpoint", "page_id", "creative") if name in send}
    return Outgoing(body=body, channel=Channel(send.get("channel", "messenger")), **about)


def _json_of(body: Any) -> Any:
    if isinstance(body, bytes):
        return {"$bytes": text_of(body)}
    return {"$text": body} if isinstance(body, str) else json.dumps(body, default=text_of)


def _middleware(settings: Mapping[str, Any]) -> KochavaMiddleware:
    clock = VirtualClock(NOW)
    whole = {"store": "memory://", "worker": "separate", **_settings(settings)}
    return KochavaMiddleware.from_dict(whole, store=MemoryStore(clock=clock), clock=clock)


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"kochava_app_id": "koapp", **settings}


def _app(settings: Mapping[str, Any], page_id: str | None) -> App:
    return Apps(from_mapping(KochavaSettings, _settings(settings))).of(page_id)


async def send(call: Mapping[str, Any], server: RecordingServer, folder: Path) -> dict[str, Any]:
    """
    One call of an `AsyncBot` or a `Reply`: the requests that left, and what it gave or raised.

    Args:
        call: ``on`` (``bot`` or ``reply``), ``method``, ``arguments``, ``options``; and perhaps ``bot`` (its
            arguments), ``event`` (the webhook item answered), ``settings`` (of a middleware), ``answers``.
    """
    server.answers = [http_answer(answer) for answer in call.get("answers", [])]
    about = dict(call.get("bot", {}))
    if "channel" in about:
        about["channel"] = Channel(about["channel"])
    version = about.pop("api_version", "v26.0")
    layers = [_middleware(call["settings"])] if "settings" in call else []
    clock: Any = _PatientClock()
    bot = AsyncBot(
        "EAAtoken", api_version=version, graph_url=server.url, middlewares=layers, clock=clock, rng=_Shortest(), **about
    )
    arguments = [argument(value, folder) for value in call.get("arguments", [])]
    options = {name: argument(value, folder) for name, value in call.get("options", {}).items()}
    target: Any = Reply(bot, _event(call["event"])) if call["on"] == "reply" else bot
    try:
        outcome = {"returned": _plain(await getattr(target, call["method"])(*arguments, **options))}
    except SendError as error:
        outcome = {"raised": type(error).__name__, "error": {"status": error.status, "body": _plain(error.body)}}
    except (TypeError, ValueError, OSError) as error:
        outcome = {"raised": type(error).__name__}
    finally:
        await bot.close()
    return {"requests": server.take(), "waited_seconds": clock.waited, **outcome}


def _event(webhook: Any) -> Event:
    (event,) = parse_webhook(json.dumps(webhook))
    return event


class _PatientClock:
    """Time passes only where somebody waits for it, and at once."""

    def __init__(self) -> None:
        self.waited = 0.0

    def now(self) -> float:
        return NOW + self.waited

    def monotonic(self) -> float:
        return 1000.0 + self.waited

    async def sleep(self, seconds: float) -> None:
        self.waited = round(self.waited + seconds, 6)


class _Shortest(random.Random):
    """Makes each wait as short as it can be."""

    def random(self) -> float:
        return 0.0


def argument(value: Any, folder: Path | None = None) -> Any:
    """
    An argument as it is described: ``{"$bytes": …}``, ``{"$text": …}``, ``{"$path": [name, content]}``,
    ``{"$open": [name, content]}``, ``{"$recipient": …}``, ``{"$tuple": …}``, or itself.
    """
    match value:
        case {"$bytes": content}:
            return bytes_of(content)
        case {"$text": content}:
            return content
        case {"$tuple": items}:
            return tuple(argument(each, folder) for each in items)
        case {"$recipient": fields}:
            return Recipient(**fields)
        case {"$open": [name, content]}:
            file = io.BytesIO(bytes_of(content))
            file.name = name
            return file
        case {"$path": [name, content]} if folder is not None:
            path = folder / name
            if content is not None:
                path.write_bytes(bytes_of(content))
            return path
        case dict():
            return {name: argument(member, folder) for name, member in value.items()}
        case list():
            return [argument(each, folder) for each in value]
        case _:
            return value


# Kochava


async def request_of(record: Mapping[str, Any], settings: Mapping[str, Any], server: RecordingServer) -> dict[str, Any]:
    """
    The request that tells Kochava of a stored record, and what of it arrives when it is sent; or why there is none.

    Args:
        record: The stored form, or ``{"$bytes": …}`` of it.
        settings: The middleware's.
    """
    found = argument(record)
    try:
        stored = decode(found if isinstance(found, bytes) else orjson.dumps(found))
    except UnreadableRecord:
        return {"refused": "unreadable record"}
    except UnknownRecord:
        return {"refused": "unknown kind of record"}
    destination = Apps(from_mapping(KochavaSettings, _settings(settings))).destinations.resolve(stored)
    reported = {"stored": text_of(encode(stored)), "lane": stored.lane, "queue": stored.queue}
    if destination is None:
        return {"refused": "no destination", **reported}
    request = build_request(stored, destination)
    return {
        **reported,
        "method": request.method,
        "url": request.url,
        "host": request.host,
        "headers": dict(request.headers),
        "body": None if request.body is None else text_of(request.body),
        "arrived": await _arrived(request, server),
    }


async def _arrived(request: WireRequest, server: RecordingServer) -> dict[str, Any]:
    scheme, _, rest = request.url.partition("://")
    after = rest[len(rest.replace("?", "/").replace("#", "/").partition("/")[0]) :]
    client = KochavaClient()
    try:
        await client.send(attrs.evolve(request, url=f"{server.url}{after or '/'}"))
    finally:
        await client.close()
    (seen,) = server.take()
    return {"scheme": scheme, **seen}


async def verdict_of(
    kind: str, answer: Mapping[str, Any], wire: Mapping[str, Any], server: RecordingServer
) -> dict[str, Any]:
    """
    What an answer to a record of *kind*, or the lack of one, means.

    Args:
        answer: As of `http_answer`; or ``{"address": …}`` to send to another one.
        wire: The settings' ``wire``.
    """
    server.answers = [http_answer(dict(answer))]
    url = answer.get("address", f"{server.url}/track/json")
    trackers = {"impression_url": url, "click_url": url}
    settings = {"greeting": trackers, "wire": {"event_url": url, "identity_url": url, **wire}}
    if kind == "deletion":
        settings["wire"] |= {"deletion_url": url, "deletion_key": "del-key"}
    record = decode(orjson.dumps(sample_record(kind)))
    destination = Apps(from_mapping(KochavaSettings, _settings(settings))).destinations.resolve(record)
    if destination is None:
        raise AddressNotConfigured(kind)
    client = KochavaClient(timeout_seconds=0.3 if answer.get("hang") else 10.0)
    try:
        outcome = await client.send(build_request(record, destination))
    finally:
        await client.close()
    server.answers.clear()
    verdict = judge(outcome, queue=record.queue, settings=destination.wire, now=NOW, kind=record.kind)
    found = {name: _plain(getattr(verdict, name)) for name in attrs.fields_dict(type(verdict))}
    return {"fate": found.pop("result"), **found}


def sample_record(kind: str, **members: Any) -> dict[str, Any]:
    """The stored form of a record."""
    common = {"kind": kind, "schema": 2, "id": "e1", "app_id": "koapp", "user_id": "u1", "page_id": None}
    common["usertime"] = 1_521_574_016
    own: dict[str, Any] = {"device_ids": {"fb_user_id": "u1"}}
    if kind == "engagement":
        own |= {"event_name": "Purchase", "event_data": {"currency": "USD", "sum": 100}, "extra": {}}
    elif kind == "install":
        own |= {"extra": {}}
    elif kind == "identity_link":
        own |= {"identities": {"customer_id": "C-17"}, "extra": {}}
    elif kind in ("impression", "click"):
        own = {"tracker": "greeting", "params": {"device_id": "u1"}}
    return {**common, **own, **members}
