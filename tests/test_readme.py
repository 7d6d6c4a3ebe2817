"""The README's example runs as printed."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from pathlib import Path

import aiohttp

README = Path(__file__).parent.parent / "README.md"

# The only thing changed is the port, so that the test can run beside anything.
# A start that hangs shows where, on standard error.
RUNNER = """
import faulthandler, functools, sys
faulthandler.dump_traceback_later(50)
from aiohttp import web
web.run_app = functools.partial(web.run_app, host="127.0.0.1", port=int(sys.argv[1]))
exec(compile(open(sys.argv[2]).read(), "README.md", "exec"))
"""


def example() -> str:
    """The first Python block of the README."""
    match = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert match is not None
    return match[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_the_readme_example_serves_a_webhook_and_stops_cleanly(tmp_path: Path) -> None:
    """Facebook's verification gets its challenge back, and SIGTERM ends the process with 0."""
    (tmp_path / "example.py").write_text(example())
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-c", RUNNER, str(port), "example.py", cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            await process.stdout.readline()
            query = {"hub.mode": "subscribe", "hub.verify_token": "...", "hub.challenge": "1158201444"}
            async with session.get(f"http://127.0.0.1:{port}/webhook", params=query) as answer:
                assert (200, "1158201444") == (answer.status, await answer.text())
            process.send_signal(signal.SIGTERM)
            assert 0 == await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert (tmp_path / "kochava-bot.db").exists()
