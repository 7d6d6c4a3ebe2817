"""
How the package is built: its size, and how many modules and functions one webhook, one send and one delivery enter.

Run ``python -m benchmarks.structure``. The walks use public names only, a store in SQLite, and servers of aiohttp in
place of Facebook and Kochava. Each is done twice; the second time is what counts, when everything is loaded.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import hashlib
import hmac
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import attrs
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console
from rich.table import Table

import kochava_bot_middleware
from kochava_bot_middleware import Event, KochavaMiddleware, MessengerBot, Reply

PACKAGE = Path(kochava_bot_middleware.__file__).parent

MOST_PARAMETERS = 6
"""More of them make a constructor one to be named."""

_SECRET = "secret"
_QUIET_SECONDS = 0.5
"""So long nothing may happen before a walk is taken to have ended."""


@attrs.frozen(kw_only=True)
class Class:
    """
    A class as it is written.

    Attributes:
        name: Its name.
        module: Its module, below the package.
        methods: How many it defines.
        parameters: How many its ``__init__`` takes beside ``self``; 0 when it defines none.
    """

    name: str
    module: str
    methods: int
    parameters: int

    @property
    def is_public(self) -> bool:
        """Whether others may use it."""
        return not self.name.startswith("_")


@attrs.frozen(kw_only=True)
class Source:
    """
    The package as it is written; a module is a file but ``__init__.py``.

    Attributes:
        lines: Of all files.
        modules: Lines of each module.
        classes: All of them, nested ones too.
    """

    lines: int
    modules: dict[str, int]
    classes: tuple[Class, ...]

    @property
    def widest_folder(self) -> tuple[str, int]:
        """The folder with the most modules, and their number."""
        return Counter(str(Path(module).parent) for module in self.modules).most_common(1)[0]

    @property
    def names_used_twice(self) -> list[str]:
        """Names that more than one public class has."""
        names = Counter(each.name for each in self.classes if each.is_public)
        return sorted(name for name, count in names.items() if count > 1)

    @property
    def wide_constructors(self) -> list[str]:
        """Classes whose ``__init__`` takes more than `MOST_PARAMETERS`."""
        wide = (each for each in self.classes if each.parameters > MOST_PARAMETERS)
        return sorted(f"{each.module}:{each.name} ({each.parameters})" for each in wide)


def read_source(folder: Path = PACKAGE) -> Source:
    """Read every file of the package."""
    texts = {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.py"))}
    lines = {name: len(text.splitlines()) for name, text in texts.items()}
    return Source(
        lines=sum(lines.values()),
        modules={name: count for name, count in lines.items() if Path(name).name != "__init__.py"},
        classes=tuple(each for name, text in texts.items() for each in _classes(name, text)),
    )


def _classes(module: str, text: str) -> Iterator[Class]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
            parameters = [_parameters(each.args) for each in methods if each.name == "__init__"]
            yield Class(name=node.name, module=module, methods=len(methods), parameters=sum(parameters))


def _parameters(arguments: ast.arguments) -> int:
    return len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs) - 1


@attrs.frozen(kw_only=True)
class Walk:
    """
    What was entered between two moments.

    Attributes:
        name: What happened.
        modules: Functions entered in each module, comprehensions and lambdas left out.
    """

    name: str
    modules: dict[str, int]

    @property
    def functions(self) -> int:
        """How many functions of the package were entered."""
        return sum(self.modules.values())


class Profile:
    """Notes each function that is entered, in any thread begun since."""

    def __init__(self) -> None:
        self._codes: set[CodeType] | None = None

    def begin(self) -> None:
        """Forget what was noted and go on."""
        self._codes = set()

    def take(self, name: str) -> Walk:
        """What was entered since `begin` or the last time; goes on."""
        codes, self._codes = self._codes or set(), set()
        entered = {(each.co_filename, each.co_qualname) for each in codes if not each.co_name.startswith("<")}
        counts = Counter(file for file, _ in entered)
        ours = {Path(file): count for file, count in counts.items() if Path(file).is_relative_to(PACKAGE)}
        return Walk(name=name, modules={str(path.relative_to(PACKAGE)): ours[path] for path in sorted(ours)})

    def pause(self) -> None:
        """Note nothing more."""
        self._codes = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Every thread begun inside of the context is watched, and this one."""
        threading.setprofile(self._called)
        sys.setprofile(self._called)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _called(self, frame: FrameType, event: str, _argument: Any) -> None:
        codes = self._codes
        if codes is not None and event == "call":
            codes.add(frame.f_code)


@asynccontextmanager
async def _server(answer: dict[str, Any]) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that gives every request one answer; its address, and the paths asked for."""
    asked: list[str] = []

    async def answered(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response(answer)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answered)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("")).rstrip("/"), asked
    finally:
        await server.close()


def _webhook(number: int) -> tuple[bytes, dict[str, str]]:
    item = {
        "sender": {"id": f"u{number}"},
        "recipient": {"id": "1001"},
        "timestamp": int(time.time() * 1000),
        "postback": {"mid": f"m_{number}", "title": "Buy", "payload": "BUY"},
    }
    body = json.dumps({"object": "page", "entry": [{"id": "1001", "time": 1, "messaging": [item]}]}).encode()
    digest = hmac.new(_SECRET.encode(), body, hashlib.sha256).hexdigest()
    return body, {"X-Hub-Signature-256": f"sha256={digest}"}


def _middleware(store: str, kochava_url: str, worker: str) -> KochavaMiddleware:
    return KochavaMiddleware.from_dict(
        {
            "kochava_app_id": "kobenchmark",
            "store": store,
            "worker": worker,
            "smartlinks": {"default": "https://acme.smart.link/ab12cd34e?url={url}"},
            "greeting": {"impression_url": f"{kochava_url}/impression", "click_url": f"{kochava_url}/click"},
            "wire": {"base_url": kochava_url},
        }
    )


async def _webhook_walks(profile: Profile, graph_url: str, kochava: KochavaMiddleware) -> list[Walk]:
    """One postback: from its arrival to the handler, the answer sent, and from there to the end of its commit."""
    found: list[Walk] = []
    handled = asyncio.Event()
    bot = MessengerBot.from_dict(
        {"page_access_token": "token", "app_secret": _SECRET, "verify_token": "verify", "graph_url": graph_url}
    )
    bot.add_middleware(kochava)

    @bot.on_postback("BUY")
    @kochava.event("Purchase", data={"currency": "USD", "sum": 100})
    async def buy(_event: Event, reply: Reply) -> None:
        found.append(profile.take("webhook, to the handler"))
        await reply.buttons("Thank you!", [{"type": "web_url", "title": "Shop", "url": "https://shop.example/"}])
        found.append(profile.take("send"))
        handled.set()

    await bot.start()
    try:
        for number in (1, 2):
            found.clear()
            handled.clear()
            body, headers = _webhook(number)
            profile.begin()
            await bot.receive(body, headers)
            await handled.wait()
            await asyncio.sleep(_QUIET_SECONDS)
            found.append(profile.take("webhook, from the handler on"))
            profile.pause()
    finally:
        await bot.stop()
    return found


async def _delivery_walk(profile: Profile, store: str, kochava_url: str, asked: list[str]) -> Walk:
    """One record that another process has written: from the notice of it to its settlement."""
    writing, delivering = (_middleware(store, kochava_url, worker) for worker in ("separate", "inside"))
    await writing.start()
    await delivering.start()
    try:
        await _until(lambda: bool(asked))
        await asyncio.sleep(2 * _QUIET_SECONDS)
        before = len(asked)
        await writing.track("Purchase", {"currency": "USD", "sum": 100}, user_id="u3", page_id="1001")
        profile.begin()
        await _until(lambda: len(asked) > before)
        await asyncio.sleep(_QUIET_SECONDS)
        walk = profile.take("delivery")
        profile.pause()
    finally:
        await delivering.stop()
        await writing.stop()
    return walk


async def _until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not reached():
            await asyncio.sleep(0.01)


async def walks() -> list[Walk]:
    """All walks."""
    profile = Profile()
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/structure.db"
        async with (
            _server({"recipient_id": "1", "message_id": "m_1"}) as (graph_url, _),
            _server({"success": "1"}) as (kochava_url, asked),
        ):
            with profile.installed():
                found = await _webhook_walks(profile, graph_url, _middleware(store, kochava_url, "separate"))
                return [*found, await _delivery_walk(profile, store, kochava_url, asked)]


def source_table(source: Source) -> Table:
    """What the files say."""
    sizes = source.modules
    largest = max(sizes, key=lambda module: sizes[module])
    folder, width = source.widest_folder
    public = [each for each in source.classes if each.is_public]
    rows: list[tuple[str, float, str]] = [
        ("lines", source.lines, ""),
        ("modules", len(sizes), ""),
        ("lines of the median module", statistics.median(sizes.values()), ""),
        ("lines of the largest module", sizes[largest], largest),
        ("modules of the widest folder", width, folder),
        ("public classes", len(public), ""),
        ("classes without methods", sum(not each.methods for each in source.classes), ""),
        ("class names used twice", len(source.names_used_twice), ", ".join(source.names_used_twice)),
        (
            f"constructors over {MOST_PARAMETERS} parameters",
            len(source.wide_constructors),
            ", ".join(source.wide_constructors),
        ),
    ]
    table = Table("what", title="Structure")
    table.add_column("figure", justify="right")
    table.add_column("which")
    for what, figure, which in rows:
        table.add_row(what, f"{figure:,g}" if isinstance(figure, float) else f"{figure:,}", which)
    return table


def walk_table(found: list[Walk]) -> Table:
    """What was entered."""
    table = Table("walk", title="Entered")
    table.add_column("modules", justify="right")
    table.add_column("functions", justify="right")
    for walk in found:
        table.add_row(walk.name, str(len(walk.modules)), str(walk.functions))
    return table


async def tables() -> list[Table]:
    """Both tables."""
    return [source_table(read_source()), walk_table(await walks())]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.structure", description=__doc__)
    parser.add_argument("--modules", action="store_true", help="also list the modules that each walk enters")
    arguments = parser.parse_args()
    console = Console(width=160)
    found = asyncio.run(walks())
    console.print(source_table(read_source()), walk_table(found))
    for walk in found if arguments.modules else ():
        console.print(f"\n{walk.name}:", style="bold")
        for module, functions in walk.modules.items():
            console.print(f"  {functions:3} {module}", highlight=False)


if __name__ == "__main__":
    main()
