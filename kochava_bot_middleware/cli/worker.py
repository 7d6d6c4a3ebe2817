"""``kochava-bot worker``: delivers what bots with ``worker = "separate"`` record."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Iterator

import attrs

from ..clock import SystemClock
from ..delivery.worker import DeliveryCounts, Worker
from ..exceptions import SettingsError, Violation
from ..middleware import KochavaMiddleware
from ..store.contract import Store
from ..store.records import OUTBOX
from ..telemetry.observer import GuardedObserver, ObservedClient, ObservedStore, Observers
from ..telemetry.opentelemetry import Tracing
from ..telemetry.prometheus import Metrics
from ..tracking.settings import KochavaSettings, Mode
from .command import GOOD, host_name, number_from
from .health import Health, served
from .settings import add_settings_argument, read_settings

READY = "kochava-bot worker: "
"""The beginning of both lines that it prints."""

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

HIGHEST_PORT = 65_535

MOST_REQUESTS = 10_000
"""More connections at once than a process may open, as a rule."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_settings_argument(parser)
    parser.add_argument(
        "--concurrency",
        metavar="N",
        type=number_from(int, 1, MOST_REQUESTS),
        help="requests at once, instead of the settings'",
    )
    parser.add_argument(
        "--port",
        metavar="P",
        type=number_from(int, 0, HIGHEST_PORT),
        help="answer /healthz, /readyz and /metrics on this port; 0 is any free port",
    )
    parser.add_argument(
        "--host",
        type=host_name,
        default="127.0.0.1",
        metavar="H",
        help="address to listen on (%(default)s); 0.0.0.0 in a container",
    )


def run(arguments: argparse.Namespace) -> int:
    """Deliver until a signal ends it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = read_settings(arguments.settings)
    if arguments.concurrency is not None:
        delivery = attrs.evolve(settings.delivery, concurrency=arguments.concurrency)
        settings = attrs.evolve(settings, delivery=delivery)
    _check(settings)
    with asyncio.Runner(loop_factory=_fast_loop_factory()) as runner:
        runner.run(_deliver(settings, host=arguments.host, port=arguments.port))
    return GOOD


def _fast_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """That of uvloop, if it is installed."""
    try:
        import uvloop  # noqa: PLC0415 - it may not be installed
    except ImportError:
        return None
    return uvloop.new_event_loop


def _check(settings: KochavaSettings) -> None:
    violations = []
    if settings.mode is not Mode.LIVE:
        violations.append(Violation(key="kochava.mode", wanted="'live' for a worker", got=repr(str(settings.mode))))
    if settings.kept_in.is_memory:
        wanted = "a store that processes can share"
        violations.append(Violation(key="kochava.store", wanted=wanted, got=repr(settings.kept_in.address)))
    if violations:
        raise SettingsError(violations)


async def _deliver(settings: KochavaSettings, *, host: str, port: int | None) -> None:
    clock = SystemClock()
    metrics, tracing = Metrics.if_installed(clock=clock), Tracing.if_set_up()
    observer = Observers(*(GuardedObserver(each, clock) for each in (metrics, tracing) if each is not None))
    store = ObservedStore(settings.kept_in.make(clock), observer, clock)
    middleware = KochavaMiddleware(settings, store=store, clock=clock)
    client = ObservedClient(
        observer, timeout_seconds=settings.delivery.request_timeout_seconds, proxy=settings.delivery.proxy
    )
    try:
        await store.open()
        worker = middleware.runtime.make_worker(client)
        if metrics is not None:
            metrics.watch_worker(worker)
        health = Health(store, metrics)
        async with contextlib.AsyncExitStack() as serving:
            address = ""
            if port is not None:
                url = await serving.enter_async_context(served(health.application(), host, port))
                address = f"; answers on {url}"
            with _stopped_by_signals(worker, settings.drain_seconds, health):
                place = f"{settings.kept_in}, {settings.delivery.concurrency} at once"
                print(f"{READY}delivers from {place}{address}", flush=True)
                health.mark_ready()
                await worker.run()
        print(f"{READY}stopped; {_in_words(worker.counts)}; {await _waiting(store)} waiting", flush=True)
    finally:
        await client.close()
        await store.close()


@contextlib.contextmanager
def _stopped_by_signals(worker: Worker, drain_seconds: float, health: Health) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    stopping: list[asyncio.Task[None]] = []

    def stop() -> None:
        health.mark_stopping()
        # A second signal ends the wait.
        stopping.append(loop.create_task(worker.stop(0 if stopping else drain_seconds)))

    # `nohup` has SIGHUP ignored.
    numbers = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _in_words(counts: DeliveryCounts) -> str:
    """The counts in words; those that are zero are left out, except the first."""
    numbers = attrs.asdict(counts)
    return ", ".join(f"{number} {name}" for name, number in numbers.items() if number or name == "delivered")


async def _waiting(store: Store) -> int:
    stats = await store.stats()
    return sum(stats[queue].waiting for queue in OUTBOX if queue in stats)
