"""The forms of a body: JSON text, batch, attrs instances, tuples; the caller's is never changed."""

from __future__ import annotations

import copy
import enum
import json
from collections import OrderedDict
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

import attrs
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.messenger.links.body import iter_links, replace_links
from kochava_bot_middleware.messenger.links.link import Path, link_of
from kochava_bot_middleware.messenger.links.walk import TextLimit

SHOP = "https://shop.example/a?b=1&c=%C3%A4"
NEW = "https://acme.smart.link/x?url=1&y=ä"

BUTTON = {"type": "web_url", "title": "Show", "url": SHOP}
ATTACHMENT = {"type": "template", "payload": {"template_type": "button", "text": "?", "buttons": [BUTTON]}}
URL_PATH: Path = ("message", "attachment", "payload", "buttons", 0, "url")


def body(message: Any) -> dict[str, Any]:
    """A Send API body."""
    return {"recipient": {"id": "42"}, "message": message}


def replaced(given_body: Any) -> Any:
    """The body with every link replaced."""
    return replace_links(given_body, lambda *_link: NEW)


def replaced_at(given_body: Any, replacements: dict[Path, str]) -> Any:
    """The body with the links at some paths replaced."""
    return replace_links(given_body, lambda *link: replacements.get(link_of(*link).path))


def test_only_the_link_at_the_path_is_replaced() -> None:
    """The rest is equal, in a new object."""
    original = body({"attachment": ATTACHMENT, "metadata": "m"})
    before = copy.deepcopy(original)

    result = replaced_at(original, {URL_PATH: NEW})

    assert before == original
    assert NEW == result["message"]["attachment"]["payload"]["buttons"][0]["url"]
    assert json.dumps(before).replace(SHOP, "URL") == json.dumps(result, ensure_ascii=False).replace(NEW, "URL")
    assert original["recipient"] is result["recipient"]


def test_without_a_replacement_the_same_object_is_returned() -> None:
    """Nothing is copied when nothing changes."""
    original = body({"attachment": json.dumps(ATTACHMENT)})

    assert original is replaced_at(original, {("message", "elsewhere"): NEW})


def test_json_text_members_stay_json_text() -> None:
    """pymessenger 0.0.7.0 sends recipient and message as JSON text."""
    original = {"recipient": json.dumps({"id": "42"}), "message": json.dumps({"attachment": ATTACHMENT})}

    result = replaced_at(original, {URL_PATH: NEW})

    assert original["recipient"] == result["recipient"]
    assert json.dumps({"attachment": json.loads(json.dumps(ATTACHMENT).replace(SHOP, NEW))}) == result["message"]
    assert "42" == next(iter_links(original)).user_id


def test_body_may_be_json_text_or_bytes() -> None:
    """The result is text or bytes like the body."""
    text = json.dumps(body({"attachment": ATTACHMENT}), separators=(",", ":"))

    assert text.replace(SHOP, json.dumps(NEW)[1:-1]) == replaced(text)
    assert replaced(text).encode() == replaced(text.encode())


def test_text_that_is_not_json_is_not_changed() -> None:
    """Numbers that are not finite, malformed text and too deep nesting."""
    for text in ('{"attachment": NaN}', '{"a": 1e999}', "{broken", "[" * 100_000):
        original = body(text)

        assert original is replaced(original)


def test_large_integers_in_json_text_are_exact() -> None:
    """An id above 2^64 is not converted to a float."""
    original = {"message": json.dumps({"attachment": ATTACHMENT, "id": 2**70})}

    assert 2**70 == json.loads(replaced(original)["message"])["id"]


class ButtonType(enum.Enum):
    """A button type as in older libraries."""

    WEB_URL = "web_url"


@attrs.frozen
class URLButton:
    """A button as an attrs class, with a field that is not an argument."""

    title: str
    url: str = attrs.field(validator=attrs.validators.max_len(40))
    type: ButtonType = attrs.field(default=ButtonType.WEB_URL, init=False)


@attrs.define
class Payload:
    """A template as an attrs class."""

    buttons: tuple[Any, ...]
    template_type: str = "button"


def test_attrs_instances_and_tuples_are_copied() -> None:
    """The results have the same class, and the caller's are not changed."""
    payload = Payload((URLButton("A", SHOP), {"type": "postback", "payload": "P"}))
    original = body({"attachment": {"type": "template", "payload": payload}})

    result = replaced(original)["message"]["attachment"]["payload"]

    assert Payload((URLButton("A", SHOP), {"type": "postback", "payload": "P"})) == payload
    assert Payload((URLButton("A", NEW), {"type": "postback", "payload": "P"})) == result
    assert isinstance(result.buttons, tuple)


def test_validator_of_an_attrs_instance_does_not_stop_a_replacement() -> None:
    """A validator of the caller's class must not prevent a send."""
    original = body({"attachment": {"type": "template", "payload": Payload((URLButton("A", SHOP),))}})

    result = replace_links(original, lambda *_link: NEW * 3)

    assert NEW * 3 == result["message"]["attachment"]["payload"].buttons[0].url


def test_dict_classes_are_kept() -> None:
    """An OrderedDict stays one, in its order."""
    original = body(
        {"attachment": {"type": "template", "payload": OrderedDict(template_type="button", buttons=[BUTTON], x=1)}}
    )

    result = replaced(original)["message"]["attachment"]["payload"]

    assert OrderedDict is type(result)
    assert ["template_type", "buttons", "x"] == list(result)


def test_requests_of_a_batch_are_forms_with_their_own_recipients() -> None:
    """Only the changed field of a form is encoded again."""
    form = "access_token=a+b&" + urlencode(
        {"recipient": '{"id":"7"}', "message": json.dumps({"attachment": ATTACHMENT})}
    )
    original = {"batch": [{"method": "POST", "relative_url": "me/messages", "body": form}, {"method": "GET"}]}

    (site,) = iter_links(original)
    result = replaced(original)["batch"][0]["body"]

    assert ("batch", 0, "body", *URL_PATH) == site.path
    assert "7" == site.user_id
    assert result.startswith("access_token=a+b&recipient=" + quote('{"id":"7"}') + "&message=")
    assert NEW == json.loads(parse_qs(result)["message"][0])["attachment"]["payload"]["buttons"][0]["url"]


def test_batch_may_be_json_text_or_a_bare_array() -> None:
    """Also an array without an object around it."""
    requests = [{"method": "POST", "relative_url": "me/messages", "body": body({"attachment": ATTACHMENT})}]

    assert ("batch", 0, "body", *URL_PATH) == next(iter_links({"batch": json.dumps(requests)})).path
    assert (0, "body", *URL_PATH) == next(iter_links(requests)).path
    assert (0, "body", *URL_PATH) == next(iter_links(json.dumps(requests))).path


def test_allowed_length_shrinks_with_earlier_replacements() -> None:
    """The length of a text is limited as a whole."""
    text = "https://a.example https://b.example"
    lengths: list[int | None] = []

    def replace(*arguments: Any) -> str:
        link = link_of(*arguments)
        lengths.append(link.max_length)
        return link.url + "0123456789"

    replace_links(body({"text": text}), replace, text_limit=TextLimit.INSTAGRAM)

    free = 1000 - len(text)
    assert [17 + free, 17 + free - 10] == lengths


KEYS = (
    *("recipient", "message", "attachment", "type", "payload", "elements", "buttons", "url", "batch", "body"),
    *("persistent_menu", "call_to_actions", "template_type", "default_action", "text", "components", "images"),
)

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from([SHOP, "web_url", "template", "button"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text() | st.sampled_from(KEYS),
            inner,
            max_size=5,
        )
    ),
)


@given(ANY_JSON)
def test_any_json_is_walked_without_an_error_or_a_change(anything: Any) -> None:
    """Without replacements the same object is returned, and with them the caller's is not changed."""
    before = copy.deepcopy(anything)

    assert anything is replace_links(anything, lambda *_link: None, text_limit=TextLimit.MESSENGER)
    replaced(anything)

    assert before == anything


@given(st.text(alphabet="ab :/?.,)(]['\"htps\n"))
def test_any_text_keeps_what_is_not_an_address(text: str) -> None:
    """Replacing each address by itself in brackets, and removing the brackets, restores the text."""
    marked = replace_links(body({"text": text}), lambda *link: f"<{link[1]}>", text_limit=TextLimit.MESSENGER)

    assert text == marked["message"]["text"].replace("<", "").replace(">", "")
