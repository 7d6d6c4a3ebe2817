"""What the tests of all commands share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from kochava_bot_middleware.cli.main import main

APP_ID = "kobotdemo1234"
SMARTLINK = "https://acme.smart.link/ab12cd34e"

MESSAGE = {
    "object": "page",
    "entry": [
        {
            "id": "1001",
            "messaging": [
                {
                    "sender": {"id": "5"},
                    "recipient": {"id": "1001"},
                    "timestamp": 1_700_000_000_000,
                    "message": {"mid": "m_1", "text": "grün"},
                },
                {"sender": {"id": "5"}, "recipient": {"id": "1001"}, "invented": {"tomorrow": 1}},
            ],
        }
    ],
}

BUTTONS = {
    "recipient": {"id": "5"},
    "message": {
        "attachment": {
            "type": "template",
            "payload": {
                "template_type": "button",
                "text": "What next?",
                "buttons": [
                    {"type": "web_url", "title": "Site", "url": "https://shop.example/a"},
                    {"type": "web_url", "title": "Us", "url": "https://m.me/shop"},
                ],
            },
        }
    },
}


@attrs.frozen
class Ran:
    """How a command ended."""

    status: int
    out: str
    err: str


Run = Callable[..., Awaitable[Ran]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in a thread, since commands run their own event loop."""

    async def run_command(*argv: object) -> Ran:
        try:
            status = await asyncio.to_thread(main, [str(argument) for argument in argv])
        except SystemExit as exc:
            status = int(exc.code or 0)
        return Ran(status, *capsys.readouterr())

    return run_command


def write_json(path: Path, value: Any) -> Path:
    """*path*, with *value* in it."""
    path.write_text(json.dumps(value))
    return path


def write_settings(folder: Path, **settings: Any) -> Path:
    """A settings file with the table ``kochava``."""
    table = {
        "kochava_app_id": APP_ID,
        "store": f"sqlite:///{folder / 'bot.db'}",
        "smartlinks.default": f"{SMARTLINK}?url={{url}}",
        **settings,
    }
    path = folder / "bot.toml"
    path.write_text("[kochava]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items()))
    return path
