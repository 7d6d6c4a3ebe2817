"""The script of a conversation: what each simulated user does, step by step."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from typing import Any

import attrs

from ..exceptions import KochavaBotError

MOST_PEOPLE = 10_000
MOST_STEPS = 1000


class Action(enum.StrEnum):
    """What a step does; its value is written beside the name."""

    START = "start"
    """Tap "Get started"; a ``ref`` or an ``ad_id`` may have led there."""

    SAY = "say"
    """Write this text."""

    EXPECT = "expect"
    """Wait for a message that contains this text."""

    CHOOSE = "choose"
    """Tap the quick reply of this title."""

    TAP = "tap"
    """Tap the button of this title; a URL is opened as by a browser."""

    SEND = "send"
    """Make another webhook, such as ``{optin: {ref: box}}``."""

    WAIT = "wait"
    """Do nothing for so many seconds."""


@attrs.frozen(kw_only=True)
class ScriptStep:
    """One step; *value* is a text, or what the action takes in its place."""

    action: Action
    value: Any


@attrs.frozen(kw_only=True)
class ConversationScript:
    """A conversation that so many *people* have at the same time."""

    people: int
    steps: tuple[ScriptStep, ...]


def read_script(decoded: Any) -> ConversationScript:
    """
    A script as decoded from YAML: a list of steps, or an object with ``people`` and ``steps``.

    Raises:
        KochavaBotError: It is something else; the message names the step, what was wanted and what was got.
    """
    if not isinstance(decoded, Mapping):
        decoded = {"steps": decoded}
    unknown = [key for key in decoded if key not in ("people", "steps")]
    if unknown:
        msg = f"script: wanted the keys people and steps, got {unknown[0]!r}"
        raise KochavaBotError(msg)
    people, steps = decoded.get("people", 1), decoded.get("steps")
    if type(people) is not int or not 1 <= people <= MOST_PEOPLE:
        msg = f"script: people: wanted a whole number from 1 to {MOST_PEOPLE}, got {people!r}"
        raise KochavaBotError(msg)
    if not isinstance(steps, list) or not 1 <= len(steps) <= MOST_STEPS:
        msg = f"script: steps: wanted a list of 1 to {MOST_STEPS} steps, got {type(steps).__name__}"
        raise KochavaBotError(msg)
    return ConversationScript(
        people=people, steps=tuple(_step(number, step) for number, step in enumerate(steps, start=1))
    )


def _step(number: int, step: Any) -> ScriptStep:
    if isinstance(step, str):
        step = {step: None}
    names = list(step) if isinstance(step, Mapping) else []
    if len(names) != 1 or names[0] not in set(Action):
        msg = f"script: step {number}: wanted one of {', '.join(Action)} with its value, got {step!r}"
        raise KochavaBotError(msg)
    action, value = Action(names[0]), step[names[0]]
    match action:
        case Action.START:
            value = {} if value is None else value
            is_right = isinstance(value, Mapping) and value.keys() <= {"ref", "ad_id"}
            wanted = "nothing, or ref and ad_id"
        case Action.SEND:
            is_right = isinstance(value, Mapping) and any(isinstance(member, Mapping) for member in value.values())
            wanted = "the members of a webhook's item, such as {optin: {ref: box}}"
        case Action.WAIT:
            is_right = type(value) in (int, float) and math.isfinite(value) and value >= 0
            wanted = "seconds"
        case _:
            is_right = isinstance(value, str) and bool(value)
            wanted = "a text"
    if not is_right:
        msg = f"script: step {number}: {action}: wanted {wanted}, got {value!r}"
        raise KochavaBotError(msg)
    return ScriptStep(action=action, value=value)
