"""Scripts of conversations, as decoded from YAML."""

from __future__ import annotations

from typing import Any

import pytest

from kochava_bot_middleware.exceptions import KochavaBotError
from kochava_bot_middleware.sandbox.script import Action, ConversationScript, ScriptStep, read_script


def test_a_script_is_a_list_of_steps() -> None:
    """A step without a value is its name alone; one person has the conversation."""
    script = read_script(["start", {"expect": "Welcome"}, {"tap": "Buy"}, {"wait": 0.5}])
    steps = [(step.action, step.value) for step in script.steps]
    assert script.people == 1
    assert [(Action.START, {}), (Action.EXPECT, "Welcome"), (Action.TAP, "Buy"), (Action.WAIT, 0.5)] == steps


def test_a_script_may_say_how_many_people_there_are() -> None:
    """Each has the conversation."""
    expected = ConversationScript(people=3, steps=(ScriptStep(action=Action.SAY, value="hello"),))
    assert expected == read_script({"people": 3, "steps": [{"say": "hello"}]})


@pytest.mark.parametrize(
    ("decoded", "message"),
    [
        (None, "script: steps: wanted a list of 1 to 1000 steps, got NoneType"),
        ([], "script: steps: wanted a list of 1 to 1000 steps, got list"),
        ({"step": []}, "script: wanted the keys people and steps, got 'step'"),
        ({"people": 0, "steps": ["start"]}, "script: people: wanted a whole number from 1 to 10000, got 0"),
        ({"people": True, "steps": ["start"]}, "got True"),
        (["start", {"shout": "hello"}], "script: step 2: wanted one of start, say, "),
        ([{"say": "a", "tap": "b"}], "script: step 1: wanted one of"),
        ([{"say": 5}], "script: step 1: say: wanted a text, got 5"),
        (["say"], "script: step 1: say: wanted a text, got None"),
        ([{"start": {"add": "1"}}], "script: step 1: start: wanted nothing, or ref and ad_id"),
        ([{"wait": -1}], "script: step 1: wait: wanted seconds, got -1"),
        ([{"wait": float("nan")}], "wanted seconds, got nan"),
        ([{"send": {"optin": "box"}}], "script: step 1: send: wanted the members of a webhook's item"),
    ],
)
def test_a_wrong_script_is_refused(decoded: Any, message: str) -> None:
    """The error names the step, what was wanted and what was got."""
    with pytest.raises(KochavaBotError) as caught:
        read_script(decoded)
    assert message in str(caught.value)
