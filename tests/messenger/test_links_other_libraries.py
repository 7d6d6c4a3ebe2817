"""Bodies as sent by other libraries and older code."""

from __future__ import annotations

import dataclasses
import json
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

import attrs
import pytest

from kochava_bot_middleware.messenger.links.body import iter_links, replace_links
from kochava_bot_middleware.messenger.links.link import KeepReason, Link, LinkKind

SHOP = "https://shop.example/shoes?a=1&b=2"
NEW = "https://acme.smart.link/x?url=1&y=2"


def button(**members: Any) -> dict[str, Any]:
    """A URL button."""
    return {"type": "web_url", "title": "Show", "url": SHOP, **members}


def attachment(template_type: str = "button", **payload: Any) -> dict[str, Any]:
    """A template attachment."""
    return {"type": "template", "payload": {"template_type": template_type, **payload}}


def body(**payload: Any) -> dict[str, Any]:
    """A Send API body with a button template."""
    return {"recipient": {"id": "42"}, "message": {"attachment": attachment(**payload)}}


def only(given: Any) -> Link:
    """The only link of a body."""
    (site,) = iter_links(given)
    return site


@pytest.mark.parametrize("word", ["hide", "HIDE", "Hide"])
def test_share_button_may_be_hidden_in_any_case(word: str) -> None:
    """Some libraries write the value in capitals."""
    assert not only(body(buttons=[button(webview_share_button=word)])).shared


@pytest.mark.parametrize(("flag", "shared"), [(True, True), ("true", True), (False, False), (None, False)], ids=str)
def test_sharable_template_is_shared(flag: object, shared: bool) -> None:
    """With sharable set, Messenger shows a button that forwards the whole message."""
    assert shared == only(body(sharable=flag, buttons=[button()])).shared


@pytest.mark.parametrize(
    ("url", "keep"),
    [
        ("https://www.messenger.com/t/shop", KeepReason.MESSENGER_LINK),
        ("http://Messenger.com/t/1234", KeepReason.MESSENGER_LINK),
        ("https://www.messenger.com", None),
        ("https://www.messenger.com/features?x=/t/1", None),
        ("https://messenger.com.shop.example/t/1", None),
    ],
)
def test_only_conversations_on_messenger_com_are_kept(url: str, keep: KeepReason | None) -> None:
    """The site also has ordinary pages."""
    assert keep == only(body(buttons=[button(url=url)])).keep


def test_share_contents_may_lack_the_message_around_the_attachment() -> None:
    """The link is found, and shared."""
    share = {"type": "element_share", "share_contents": attachment(buttons=[button()])}

    site = only(body(template_type="generic", elements=[{"title": "A", "buttons": [share]}]))

    assert (None, True) == (site.keep, site.shared)


@attrs.frozen
class ShareButton:
    """A share button as an attrs class."""

    type: str = "element_share"


def test_share_button_of_an_attrs_class_makes_its_element_shared() -> None:
    """As for a share button that is a dict."""
    assert only(body(template_type="generic", elements=[{"buttons": [ShareButton(), button()]}])).shared


@pytest.mark.parametrize("place", ["call_to_actions", "welcome_message_flow"])
def test_welcome_message_is_shared(place: str) -> None:
    """Old thread_settings and flows for ads show a message to everyone."""
    site = only({"name": "Welcome", place: [{"message": {"attachment": attachment(buttons=[button()])}}]})

    assert (LinkKind.BUTTON, None, True) == (site.kind, site.keep, site.shared)


def test_privacy_policy_of_payments_is_kept() -> None:
    """As for forms."""
    site = only({"setting_type": "payment", "payment_privacy_url": SHOP})

    assert (LinkKind.PRIVACY, KeepReason.PRIVACY) == (site.kind, site.keep)


def test_nested_menus_are_read_to_a_limited_depth() -> None:
    """Deeper menus than the platform allows do not exhaust the stack."""
    menu: list[Any] = [button()]
    for _ in range(5000):
        menu = [{"type": "nested", "call_to_actions": menu}]

    assert [] == list(iter_links({"persistent_menu": [{"call_to_actions": menu}]}))


FIELDS = {"recipient": json.dumps({"id": "42"}), "message": json.dumps({"attachment": attachment(buttons=[button()])})}


def replaced(given: Any) -> Any:
    """The body with every link replaced."""
    return replace_links(given, lambda *_link: NEW)


def url_in(form: str) -> str:
    """The address of the button in a form's message."""
    message = json.loads(parse_qs(form)["message"][0])
    return str(message["attachment"]["payload"]["buttons"][0]["url"])


@pytest.mark.parametrize(
    "form",
    [
        urlencode({**FIELDS, "access_token": "a|b"}),
        f"recipient={FIELDS['recipient']}&message={quote(FIELDS['message'])}&tag=A",
        f"message={FIELDS['message']}&recipient={FIELDS['recipient']}&tag=A",
        f"message={FIELDS['message'].replace('}', '%7D')}&recipient={FIELDS['recipient']}&tag=A",
    ],
    ids=["encoded", "partly_encoded", "by_hand", "braces_encoded"],
)
def test_body_may_be_a_form(form: str) -> None:
    """Also one written by hand, whose JSON text has an ampersand that is not encoded."""
    site = only(form)

    assert (SHOP, "42") == (site.url, site.user_id)
    assert NEW == url_in(replaced(form))
    assert replaced(form).encode() == replaced(form.encode())
    assert form is replace_links(form, lambda *_link: None)


def test_fields_that_do_not_change_keep_their_spelling() -> None:
    """Only the message is encoded again."""
    rest = "access_token=a|b&x&recipient=%7B%22id%22%3A+%2242%22%7D&empty="

    assert replaced(f"{rest}&message={quote(FIELDS['message'])}").startswith(f"{rest}&message=%7B")


@pytest.mark.parametrize("text", ["message={&{&[", "hello & goodbye", "a=[1&b=2&message={", "=&==&", "&"])
def test_text_that_is_not_a_form_is_not_changed(text: str) -> None:
    """Malformed fields are ignored."""
    assert text is replaced(text)


def test_body_of_a_batch_request_may_be_bytes() -> None:
    """The form of a request in bytes is returned in bytes."""
    request = {"method": "POST", "relative_url": "me/messages", "body": urlencode(FIELDS).encode()}

    assert NEW == url_in(replaced([request])[0]["body"].decode())


def test_bodies_may_be_an_array() -> None:
    """Each has its own recipient."""
    sites = iter_links([body(buttons=[button()]), {**body(buttons=[button()]), "recipient": {"id": "43"}}])

    assert ["42", "43"] == [site.user_id for site in sites]


class SafeText(str):
    """A subclass of str, as in template engines."""

    __slots__ = ()


def test_address_may_be_of_a_subclass_of_str() -> None:
    """It is treated like other text."""
    site = only(body(buttons=[button(url=SafeText(SHOP), title=SafeText("Show"))]))

    assert (SHOP, "Show", None) == (site.url, site.title, site.keep)


@dataclasses.dataclass(frozen=True)
class DataButton:
    """A button as a data class, with a field that is not an argument."""

    url: str
    type: str = dataclasses.field(default="web_url", init=False)


@dataclasses.dataclass(frozen=True)
class DataPayload:
    """A template as a data class."""

    buttons: list[Any]
    template_type: str = "button"


def test_instances_of_data_classes_are_copied() -> None:
    """The result has the same class, and the caller's instance is not changed."""
    payload = DataPayload([DataButton(SHOP)])
    given = {"recipient": {"id": "42"}, "message": {"attachment": {"type": "template", "payload": payload}}}

    result = replaced(given)["message"]["attachment"]["payload"]

    assert DataPayload([DataButton(NEW)]) == result
    assert DataPayload([DataButton(SHOP)]) == payload
