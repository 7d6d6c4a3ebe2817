"""The arguments that name a bot of one's own and the ports of both local servers."""

from __future__ import annotations

import argparse
import os
import sys

from yarl import URL

from ...exceptions import KochavaBotError
from ...sandbox.kochava.server import LocalKochava
from ...sandbox.local_server import PortTaken
from ...sandbox.messenger.server import LocalMessenger
from ...sandbox.own_bot import OwnBot, settings_to_paste
from ...settings import ENVIRONMENT_PREFIX
from ..command import NOT_RUN, readable_text
from .page import PORT

SECRET_VARIABLE = f"{ENVIRONMENT_PREFIX}__BOT__APP_SECRET"
"""No process list shows it."""

LOCAL_WEBHOOK = "http://127.0.0.1:8080/webhook"


def add_secret_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--app-secret``."""
    parser.add_argument(
        "--app-secret",
        metavar="SECRET",
        help=f"signs webhooks; without it the environment variable {SECRET_VARIABLE}, which no process list shows",
    )


def read_secret(arguments: argparse.Namespace) -> str:
    """
    The app secret.

    Raises:
        KochavaBotError: There is none.
    """
    secret: str | None = arguments.app_secret or os.environ.get(SECRET_VARIABLE)
    if not secret:
        msg = (
            f"--app-secret: wanted the secret with which Facebook signs, got none: set it, or {SECRET_VARIABLE}, to"
            " the `app_secret` of the bot's settings"
        )
        raise KochavaBotError(msg)
    return secret


def add_own_bot_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments; each has what the examples use, but for the secret."""
    default = OwnBot(webhook_url="", app_secret="", verify_token="verify")  # noqa: S106 - of the sandbox
    parser.add_argument(
        "--bot", metavar="URL", type=readable_text, default=LOCAL_WEBHOOK, help="its webhook (%(default)s)"
    )
    add_secret_argument(parser)
    parser.add_argument(
        "--verify-token", metavar="TOKEN", default=default.verify_token, help="of the subscription check (%(default)s)"
    )
    parser.add_argument(
        "--page-token", metavar="TOKEN", default=default.page_token, help="with which it sends (%(default)s)"
    )
    parser.add_argument("--page", metavar="ID", type=readable_text, default=default.page_id, help="(%(default)s)")
    parser.add_argument("--instagram", action="store_true", help="the Page is an Instagram account")
    parser.add_argument(
        "--kochava-app-id", metavar="GUID", default=default.kochava_app_id, help="it sends to (%(default)s)"
    )
    for name, port, what in (
        ("--graph-port", default.graph_port, "Graph API"),
        ("--kochava-port", default.kochava_port, "Kochava"),
    ):
        parser.add_argument(
            name, type=PORT, default=port, metavar="N", help=f"of the local {what}; 0: a free one (%(default)s)"
        )


def own_bot_of(arguments: argparse.Namespace) -> OwnBot:
    """
    The bot that the arguments name.

    Raises:
        KochavaBotError: The address is none, or there is no secret.
    """
    try:
        url = URL(arguments.bot)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        msg = f"--bot: wanted the address of a webhook, such as {LOCAL_WEBHOOK}, got {arguments.bot!r}"
        raise KochavaBotError(msg)
    return OwnBot(
        webhook_url=arguments.bot,
        app_secret=read_secret(arguments),
        verify_token=arguments.verify_token,
        page_id=arguments.page,
        page_token=arguments.page_token,
        instagram=arguments.instagram,
        kochava_app_id=arguments.kochava_app_id,
        graph_port=arguments.graph_port,
        kochava_port=arguments.kochava_port,
    )


def print_settings(bot: OwnBot, messenger: LocalMessenger, kochava: LocalKochava) -> None:
    """Print the settings to paste."""
    print("Start the bot with these settings:\n")
    for line in settings_to_paste(bot, messenger, kochava):
        print(line)
    sys.stdout.flush()


def print_subscription(bot: OwnBot, problem: str | None) -> None:
    """Print how the subscription check ended."""
    print(problem or f"{bot.webhook_url} answers the subscription check.", file=sys.stderr if problem else sys.stdout)
    sys.stdout.flush()


def port_taken(command: str, bot: OwnBot, error: PortTaken) -> int:
    """Say which port is taken, and with which argument another one is; returns the exit status."""
    options = {bot.graph_port: "--graph-port", bot.kochava_port: "--kochava-port"}
    remedy = f"{options.get(error.port, '--port')} {error.free_port}"
    print(f"kochava-bot {command}: {error}: kochava-bot {command} {remedy}", file=sys.stderr)
    return NOT_RUN
