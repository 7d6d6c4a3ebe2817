"""Webhooks with very many events: taken in slices, so that neither memory nor other people suffer."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from kochava_bot_middleware.inbox.inbox import ALWAYS_LEASED, Inbox
from kochava_bot_middleware.inbox.settings import InboxSettings
from kochava_bot_middleware.inbox.webhook import LARGE_BYTES, Webhook, WebhookAnswer
from kochava_bot_middleware.messenger.events import Event, Kind
from kochava_bot_middleware.settings import Secret
from kochava_bot_middleware.store.records import Queue
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.inbox.inbox_fakes import PAGE_ID, Counter, FaultyStore, message, message_item, waiting
from tests.strategies import webhook

CONCURRENCY = 4
SLICE = 100
"""Short, so that a few hundred events are many."""

MANY = 4 * SLICE
EVERYBODY = [f"p{number}" for number in range(MANY)]


class SmallSlices(Webhook):
    slice_size = SLICE


def hook_to(accept: Any) -> Webhook:
    secret = Secret("app-secret")
    return SmallSlices(
        accept, app_secrets=[secret], verify_token=Secret("verify-me"), max_body_bytes=2**22, body_timeout_seconds=60
    )


def receive(hook: Webhook, body: bytes) -> asyncio.Task[WebhookAnswer]:
    signature = "sha256=" + hmac.new(b"app-secret", body, "sha256").hexdigest()
    return asyncio.create_task(hook.receive(body, {"X-Hub-Signature-256": signature}))


def large(*items: dict[str, Any]) -> bytes:
    return json.dumps(webhook(*items, page_id=PAGE_ID)).encode().ljust(LARGE_BYTES + 1)


FROM_EVERYBODY = large(*(message_item(user, user) for user in EVERYBODY))


class Rig:
    """A webhook, its inbox, and a store with faults."""

    def __init__(self, path: Path) -> None:
        self.store = FaultyStore(SqliteStore(path))
        self.counter = Counter()
        self.inbox = self.inbox_that_waits(60.0)
        self.hook = hook_to(self.inbox.accept)

    def inbox_that_waits(self, seconds: float) -> Inbox:
        """An inbox that refuses what the store does not take in time."""
        settings = InboxSettings(concurrency=CONCURRENCY, commit_timeout_seconds=seconds, on_store_failure="refuse")
        return Inbox(store=self.store, dispatch=self.counter, settings=settings)

    async def receive(self, body: bytes) -> WebhookAnswer:
        return await receive(self.hook, body)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path / "bot.db")
    await rig.inbox.start()
    yield rig
    rig.counter.release()
    await rig.inbox.stop(0)
    await rig.store.close()


async def test_all_is_stored_before_it_is_answered(rig: Rig) -> None:
    """In slices; and then handled."""
    rig.counter.hold(*EVERYBODY)
    answer = await rig.receive(FROM_EVERYBODY)

    assert (200, MANY) == (answer.status, await waiting(rig.store))
    assert max(len(unit.appends) for unit in rig.store.units) <= SLICE
    rig.counter.release()
    await rig.counter.until(lambda: len(rig.counter.ended) == MANY)
    assert set(EVERYBODY) == set(rig.counter.ended)


async def test_no_more_than_find_a_place_are_in_memory(rig: Rig) -> None:
    """The others wait in the store."""
    rig.counter.hold(*EVERYBODY)
    await rig.receive(FROM_EVERYBODY)
    await rig.counter.until(lambda: len(rig.counter.begun) == CONCURRENCY)

    assert (await rig.store.stats())[Queue.INBOX].in_flight <= 2 * CONCURRENCY


async def test_many_webhooks_at_once_share_the_places(rig: Rig) -> None:
    """Also those that are not large, each of which would find a place alone."""
    size = ALWAYS_LEASED + 1
    inbox = Inbox(store=rig.store, dispatch=rig.counter, settings=InboxSettings(concurrency=size))
    rig.counter.hold(*EVERYBODY)
    webhooks = [[message(user, user) for user in EVERYBODY[at : at + size]] for at in range(0, MANY, size)]
    await asyncio.gather(*map(inbox.accept, webhooks))
    in_flight = (await rig.store.stats())[Queue.INBOX].in_flight
    await inbox.stop(0)

    assert in_flight <= 2 * size + ALWAYS_LEASED + CONCURRENCY


async def test_other_people_are_not_held_up(rig: Rig) -> None:
    """Whoever writes afterwards is answered as soon as what is in memory already."""
    rig.counter.hold(*EVERYBODY)
    await rig.receive(FROM_EVERYBODY)
    await rig.inbox.accept([message("other", "ann")])
    rig.counter.release()
    await rig.counter.until(lambda: "other" in rig.counter.ended)

    assert len(rig.counter.begun) <= ALWAYS_LEASED + 2 * CONCURRENCY


async def test_order_of_one_person_is_kept(rig: Rig) -> None:
    """Over all slices, and with what comes afterwards."""
    texts = [f"{number}" for number in range(SLICE + 40)]
    assert 200 == (await rig.receive(large(*(message_item(text) for text in texts)))).status
    await rig.inbox.accept([message("last")])
    await rig.counter.until(lambda: "last" in rig.counter.ended)

    assert [*texts, "last"] == rig.counter.ended


async def test_failure_in_between_is_made_good_by_the_next_delivery(rig: Rig) -> None:
    """Facebook delivers all of it again, and each event is handled once."""
    commits = 0
    impatient = rig.inbox_that_waits(0.01)

    async def fails_at_the_third(events: Sequence[Event]) -> None:
        nonlocal commits
        commits += 1
        if commits == 3:
            rig.store.fail()
            await impatient.accept(events)
        await rig.inbox.accept(events)

    refused = await receive(hook_to(fails_at_the_third), FROM_EVERYBODY)
    rig.store.repair()
    taken = await rig.receive(FROM_EVERYBODY)
    await rig.counter.until(lambda: len(rig.counter.ended) == MANY)

    assert (503, 200) == (refused.status, taken.status)
    assert set(EVERYBODY) == set(rig.counter.ended)


async def test_a_body_that_breaks_at_its_end_leaves_nothing(rig: Rig) -> None:
    """All of it is read before any of it is stored."""
    answer = await rig.receive(FROM_EVERYBODY.rstrip()[:-1].ljust(LARGE_BYTES + 1))
    assert (400, 0) == (answer.status, await waiting(rig.store))


async def test_the_event_loop_goes_on_between_slices() -> None:
    """Even if nothing is taken of them, as of changes without a handler."""
    turns = []
    ticks = 0

    async def takes_nothing(_events: Sequence[Event]) -> None:
        turns.append(ticks)

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await receive(hook_to(takes_nothing), FROM_EVERYBODY)
    ticking.cancel()
    assert MANY // SLICE == len(set(turns))


async def test_of_large_bodies_one_at_a_time_is_in_memory() -> None:
    """The next one waits as bytes; small ones pass."""
    taken: list[int] = []
    may_go_on = asyncio.Event()

    async def takes(events: Sequence[Event]) -> None:
        taken.append(len(events))
        if len(events) > 1:
            await may_go_on.wait()

    hook = hook_to(takes)
    deliveries = [receive(hook, FROM_EVERYBODY) for _ in range(3)]
    small = json.dumps(webhook(message_item("small"))).encode()
    assert 200 == (await receive(hook, small)).status
    assert [SLICE, 1] == sorted(taken, reverse=True)
    may_go_on.set()
    answers = await asyncio.gather(*deliveries)
    assert {200} == {answer.status for answer in answers}


@pytest.mark.parametrize(
    "body",
    [
        {"object": "page", "entry": [{"id": "1", "messaging": [{"x": [[]] * 100_000}]}]},
        {"object": "page", "entry": [{"id": "1", "changes": [{"field": "feed", "value": "x" * 300_000}]}]},
        {"object": "page", "entry": [{"id": "1", "messaging": [message_item("x" * 300_000)]}]},
        {"object": "page", "entry": [{}] * 100_000},
        {"object": "page", "entry": [{"id": "1", "messaging": [None, {}, 0] * 30_000}]},
        {"object": "permissions", "entry": [{"id": "1", "changed_fields": ["email"] * 30_000}]},
        [webhook(message_item(f"{number}")) for number in range(2000)],
    ],
)
async def test_large_in_another_way_is_answered_200(body: Any) -> None:
    """One large item, large items of no event, many of nothing."""

    async def takes(events: Sequence[Event]) -> None:
        assert len(events) <= SLICE

    assert 200 == (await receive(hook_to(takes), json.dumps(body).encode().ljust(LARGE_BYTES + 1))).status


async def test_an_item_that_is_nested_deeply_is_kept() -> None:
    """However deep it is."""
    taken: list[Event] = []

    async def takes(events: Sequence[Event]) -> None:
        taken.extend(events)

    body = b'{"object":"page","entry":[{"messaging":[' + b"[" * 300_000 + b"]" * 300_000 + b"]}]}"
    assert 200 == (await receive(hook_to(takes), body)).status
    assert [Kind.UNKNOWN] == [event.kind for event in taken]
