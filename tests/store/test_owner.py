"""By a token it is known which process made it, and whether that is dead for certain."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from kochava_bot_middleware.store.owner import is_owner_dead, new_owner, owner_of
from kochava_bot_middleware.store.settings import unique_tokens

NAME_ITSELF = "from kochava_bot_middleware.store.owner import new_owner; print(new_owner(), flush=True); input()"


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", NAME_ITSELF], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield process
        process.kill()


def name_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_names_are_never_given_twice() -> None:
    """Two stores of one process do not share tokens."""
    assert new_owner() != new_owner()


def test_the_owner_is_read_from_a_token() -> None:
    """Whatever number it has."""
    new_token = unique_tokens()
    assert owner_of(new_token()) == owner_of(new_token())


def test_a_process_that_lives_is_not_dead(process: subprocess.Popen[str]) -> None:
    """Neither this one nor another."""
    assert not is_owner_dead(new_owner())
    assert not is_owner_dead(name_of(process))


def test_a_process_that_was_killed_is_dead(process: subprocess.Popen[str]) -> None:
    """Also while nobody has asked for its exit status."""
    name = name_of(process)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_owner_dead(name)
    process.wait()
    assert is_owner_dead(name)


def test_a_process_with_the_same_id_that_started_at_another_time_is_another_one() -> None:
    """Ids are given anew."""
    name, machine, pid, started = new_owner().split(".")
    assert is_owner_dead(f"{name}.{machine}.{pid}.{int(started) - 1}")


@pytest.mark.parametrize("machine", ["0123456789abcdef", ""])
def test_of_another_machine_or_container_nothing_is_known(machine: str) -> None:
    """A process of that id may live there."""
    name, _, _, started = new_owner().split(".")
    assert not is_owner_dead(f"{name}.{machine}.4194304.{started}")


@pytest.mark.parametrize("owner", ["", "0123456789abcdef", "a.b.c.d", "a.b.-1.5", "a.b.0.5", "."])
def test_of_a_name_without_a_process_nothing_is_known(owner: str) -> None:
    """A test's, or one of a system that does not tell."""
    assert not is_owner_dead(owner)
