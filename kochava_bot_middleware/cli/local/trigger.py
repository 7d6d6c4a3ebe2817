"""``kochava-bot trigger``: one signed webhook to a bot, and what it answers."""

from __future__ import annotations

import argparse
import asyncio
import time
import uuid

import aiohttp

from ...exceptions import KochavaBotError
from ...sandbox.messenger.samples import SAMPLES, SampleContent, sample_webhook
from ...sandbox.messenger.webhooks import MessengerOptions, headers_of
from ..command import GOOD, SOMETHING_WRONG, readable_text
from ..output import one_line
from .own_bot import LOCAL_WEBHOOK, add_secret_argument, read_secret

USER = "5000000000000001"
PAGE = "1001"
MOST_SHOWN = 2000
"""Characters of the answer that are printed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    default = SampleContent(mid="", seconds=0)
    parser.add_argument("kind", metavar="KIND", nargs="?", choices=[*SAMPLES], help="which webhook; --list names all")
    parser.add_argument("--url", default=LOCAL_WEBHOOK, type=readable_text, help="where the bot listens (%(default)s)")
    add_secret_argument(parser)
    parser.add_argument("--user", metavar="ID", type=readable_text, default=USER, help="who wrote (%(default)s)")
    parser.add_argument("--page", metavar="ID", type=readable_text, default=PAGE, help="to which Page (%(default)s)")
    parser.add_argument("--instagram", action="store_true", help="to an Instagram account")
    parser.add_argument("--text", type=readable_text, default=default.text, help="of a message or title (%(default)s)")
    parser.add_argument("--payload", type=readable_text, default=default.payload, help="of a button (%(default)s)")
    parser.add_argument("--attachment", metavar="URL", type=readable_text, default=default.url, help="(%(default)s)")
    parser.add_argument("--ref", type=readable_text, help="of an m.me link or an ad")
    parser.add_argument("--list", action="store_true", help="print the kinds, and send nothing")
    parser.add_argument("--print", action="store_true", help="print the webhook, and send nothing")


def run(arguments: argparse.Namespace) -> int:
    """Send the webhook; the status is 0 exactly when the bot answered with a 2xx status."""
    if arguments.list:
        print("\n".join(SAMPLES))
        return GOOD
    if arguments.kind is None:
        msg = "trigger: wanted a KIND, such as message or postback; `kochava-bot trigger --list` names all"
        raise KochavaBotError(msg)
    webhook = sample_webhook(
        arguments.kind,
        SampleContent(
            text=arguments.text,
            payload=arguments.payload,
            url=arguments.attachment,
            ref=arguments.ref,
            mid=f"m_{uuid.uuid4().hex}",
            seconds=time.time(),
        ),
        page_id=arguments.page,
        user_id=arguments.user,
        instagram=arguments.instagram,
    )
    print(webhook.raw.decode())
    if arguments.print:
        return GOOD
    secret = read_secret(arguments)
    return asyncio.run(_send(arguments.url, webhook.raw, headers_of(secret, webhook.raw)))


async def _send(url: str, body: bytes, headers: dict[str, str]) -> int:
    seconds = MessengerOptions().answer_within_seconds
    began = time.monotonic()
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds)) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            answer = await response.read()
    except aiohttp.InvalidURL:
        msg = f"trigger: --url: wanted an address such as {LOCAL_WEBHOOK}, got {url!r}"
        raise KochavaBotError(msg) from None
    except TimeoutError:
        print(f"no answer within {seconds:g} s: Facebook would send the webhook again")
        return SOMETHING_WRONG
    except (aiohttp.ClientError, OSError) as exc:
        print(f"no answer: {one_line(str(exc))}: Facebook would send the webhook again")
        return SOMETHING_WRONG
    text = answer.decode(errors="backslashreplace")
    took = (time.monotonic() - began) * 1000
    print(f"{response.status} {response.reason} after {took:.0f} ms: {one_line(text[:MOST_SHOWN])}".rstrip(": "))
    return GOOD if 200 <= response.status < 300 else SOMETHING_WRONG
