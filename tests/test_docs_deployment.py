"""The page about deployment: its table of log lines, its commands and its waits."""

from __future__ import annotations

import configparser
import itertools
import json
import re
import shlex
from pathlib import Path

import pytest

from kochava_bot_middleware import BotSettings, KochavaSettings
from kochava_bot_middleware.bot import InboxSettings
from kochava_bot_middleware.cli.main import build_parser
from kochava_bot_middleware.settings import setting_paths
from tests.docs_pages import BLOCKS, DOCS, WITH_README, blocks_of, prose_of
from tests.log_lines import LEVELS, LogLine, log_lines

PAGE = DOCS / "deployment.md"


def listed_lines() -> list[LogLine]:
    """The rows of the table; a row may have several names."""
    table = prose_of(PAGE).partition("## Log lines")[2]
    rows = re.findall(r"^\| (`[^|]*`) \| ([^|]*) \|", table, re.MULTILINE)
    return [LogLine(name, level) for names, level in rows for name in re.findall(r"`([^`]*)`", names)]


def test_every_log_line_is_in_the_table() -> None:
    """With its level. What is missing is shown as rows to be completed; what is no longer logged is named."""
    listed, logged = listed_lines(), log_lines()
    missing = sorted(f"| `{line.name}` | {line.level} | … | … |" for line in logged - set(listed))
    gone = sorted(f"{line.name} ({line.level})" for line in set(listed) - logged)
    assert ([], []) == (missing, gone), "\n".join(["add to docs/deployment.md:", *missing, "remove from it:", *gone])
    assert len(listed) == len(set(listed))


def test_log_lines_are_found() -> None:
    """Of each way to log one: by `log`, as an incident, with a level, with a name that is made in two ways."""
    found = log_lines()
    assert LogLine("handler_failed", "error") in found
    assert LogLine("webhook_refused", "warning") in found
    assert LogLine("credentials_refused", "error") in found
    assert {LogLine("destination_down", "warning"), LogLine("request_failed", "warning")} <= found
    assert {line.level for line in found} <= set(LEVELS)


@pytest.mark.parametrize("page", WITH_README, ids=lambda path: path.name)
def test_log_lines_named_elsewhere_exist(page: Path) -> None:
    """Names of two words or more with a typical ending, on any page."""
    names = {line.name for line in log_lines()}
    text = prose_of(page)
    for name in re.findall(r"`([a-z]+(?:_[a-z]+)*_(?:failed|refused|lost|at_risk|down|unheard|given_up))`", text):
        assert name in names or name in {"at_risk", "kochava_bot_at_risk", "kochava_bot_destination_down"}, name


COMMANDS = [
    *(command for block in BLOCKS for command in re.findall(r"^Exec\w+=(.*)$", block.text, re.MULTILINE)),
    *(
        shlex.join(json.loads(words))
        for block in BLOCKS
        for words in re.findall(r"^\s*(?:command: |CMD )(\[.*\])$", block.text, re.MULTILINE)
    ),
]


def test_commands_of_services_are_taken_by_the_command_line() -> None:
    """Those of systemd units and of containers."""
    ours = [shlex.split(command)[1:] for command in COMMANDS if "kochava-bot" in command]
    assert len(ours) >= 2
    for words in ours:
        build_parser().parse_args(words)


def test_unit_file_can_be_read() -> None:
    """It has the sections of a service."""
    (unit,) = (block for block in blocks_of(PAGE) if "[Service]" in block.text)
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(unit.text)
    assert ["Unit", "Service", "Install"] == parser.sections()


def test_services_wait_until_the_bot_has_stopped() -> None:
    """Longer than handlers and requests may take by default."""
    longest = InboxSettings().drain_seconds + KochavaSettings(kochava_app_id="ko").drain_seconds
    waits = re.findall(
        r"(?:stop_grace_period: |TimeoutStopSec=|--graceful-timeout )(\d+)", PAGE.read_text(encoding="utf-8")
    )
    assert len(waits) >= 3
    assert all(int(wait) > longest for wait in waits)


def test_variables_named_in_the_docs_are_read() -> None:
    """Each is a setting of one of both tables."""
    known = {
        "__".join(["KOCHAVA_BOT", table, *path]).upper()
        for table, cls in (("kochava", KochavaSettings), ("bot", BotSettings))
        for path in setting_paths(cls)
    }
    text = "".join(page.read_text(encoding="utf-8") for page in WITH_README)
    # Up to a name of your own, such as that of a tracker or Page.
    paths = [name.split("__") for name in re.findall(r"\bKOCHAVA_BOT__\w+", text)]
    named = {
        "__".join(itertools.takewhile(lambda part: part == part.upper() and not part.isdigit(), path)) for path in paths
    }
    assert named
    assert named <= known, named - known
