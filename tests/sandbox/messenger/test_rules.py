"""The rules of the Send API."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.sandbox.messenger.buttons import check_profile
from kochava_bot_middleware.sandbox.messenger.graph import GraphRefusal
from kochava_bot_middleware.sandbox.messenger.page import SandboxPage
from kochava_bot_middleware.sandbox.messenger.rules import check_send

PAGE = SandboxPage(
    profile={"whitelisted_domains": ["https://shop.example"]},
    attachment_ids={"99"},
    order_numbers={"order-1"},
    personas={"1": {}},
)
INSTAGRAM = SandboxPage(instagram=True)
URL_BUTTON = {"type": "web_url", "title": "Show Website", "url": "https://shop.example/"}
POSTBACK = {"type": "postback", "title": "Start Chatting", "payload": "USER_DEFINED_PAYLOAD"}


def answer(body: dict[str, Any], page: SandboxPage = PAGE) -> tuple[int, int | None, str] | None:
    """Code, subcode and message of the refusal; ``None`` if the body is accepted."""
    try:
        check_send(body, page)
    except GraphRefusal as refusal:
        return refusal.code, refusal.subcode, refusal.message
    return None


def send(message: Any, **more: Any) -> dict[str, Any]:
    """A body with this message."""
    return {"recipient": {"id": "7"}, "message": message, **more}


def template(**payload: Any) -> dict[str, Any]:
    """A body with a template."""
    return send({"attachment": {"type": "template", "payload": payload}})


def buttons(*some: dict[str, Any]) -> dict[str, Any]:
    """A button template."""
    return template(template_type="button", text="What do you want to do next?", buttons=list(some))


def element(**fields: Any) -> dict[str, Any]:
    """A generic template of one element."""
    return template(template_type="generic", elements=[{"title": "Shoes", **fields}])


def media(**fields: Any) -> dict[str, Any]:
    """A media template."""
    return template(template_type="media", elements=[{"media_type": "image", **fields}])


def feedback(**fields: Any) -> dict[str, Any]:
    """A customer feedback template."""
    question = {"id": "q1", "type": "csat", "title": "How did you like your order?"}
    return template(
        **{
            "template_type": "customer_feedback",
            "title": "Rate your order",
            "subtitle": "It takes a minute",
            "button_title": "Rate",
            "feedback_screens": [{"questions": [question]}],
            "business_privacy": {"url": "https://shop.example/privacy"},
            **fields,
        }
    )


def quick_replies(*some: dict[str, Any]) -> dict[str, Any]:
    """A text with quick replies."""
    return send({"text": "Size?", "quick_replies": list(some)})


def reply(title: str = "Small", payload: str = "S") -> dict[str, Any]:
    """A quick reply."""
    return {"content_type": "text", "title": title, "payload": payload}


FEEDBACK_TAG = {"messaging_type": "MESSAGE_TAG", "tag": "CUSTOMER_FEEDBACK"}
FEEDBACK_ONLY = (100, None, "param tag CUSTOMER_FEEDBACK is allowed for the customer_feedback template only.")
UTILITY = {"messaging_type": "UTILITY"}
UTILITY_TEMPLATE = {"template": {"name": "order_update", "language": {"code": "en"}, "components": []}}

ACCEPTED = {
    "text": send({"text": "x" * 1999}),
    "metadata": send({"text": "x", "metadata": "x" * 999}),
    "the published sample": buttons(URL_BUTTON, POSTBACK),
    "button text": template(template_type="button", text="x" * 640, buttons=[POSTBACK]),
    "title of 20": buttons(POSTBACK | {"title": "x" * 20}),
    "ten elements": template(template_type="generic", elements=[{"title": "x"}] * 10),
    "default action": element(default_action={"type": "web_url", "url": "https://shop.example/"}),
    "whitelisted host": buttons(URL_BUTTON | {"messenger_extensions": True}),
    "whitelisted sub-domain": buttons(
        URL_BUTTON
        | {"url": "https://m.shop.example/", "messenger_extensions": True, "fallback_url": "https://else.example/"}
    ),
    "media": media(url="https://www.facebook.com/photo/?fbid=1", buttons=[URL_BUTTON]),
    "image": send({"attachment": {"type": "image", "payload": {"url": "https://shop.example/a.png"}}}),
    "uploaded": send({"attachment": {"type": "image", "payload": {"attachment_id": "99"}}}),
    "thirteen quick replies": quick_replies(*[reply()] * 13),
    "e-mail quick reply": quick_replies({"content_type": "user_email"}),
    "typing": {"recipient": {"id": "7"}, "sender_action": "typing_on"},
    "live tag": send({"text": "x"}, messaging_type="MESSAGE_TAG", tag="HUMAN_AGENT"),
    "customer feedback": feedback(),
    "customer feedback with its tag": feedback() | FEEDBACK_TAG,
    "utility template": send(UTILITY_TEMPLATE, **UTILITY),
    "account link": buttons({"type": "account_link", "url": "https://shop.example/login"}),
    "phone": buttons({"type": "phone_number", "title": "Call", "payload": "+4930123"}),
    "user_ref": {"recipient": {"user_ref": "box"}, "message": {"text": "x"}},
    "control passed": send({"text": "x"}, thread_control={"control_type": "pass", "app_id": 263902037430900}),
    "control released": send({"text": "x"}, thread_control={"control_type": "release"}),
    "reply of a persona": send({"text": "x"}, persona_id="1", reply_to={"mid": "m_1"}),
    "unknown top-level key": send({"text": "x"}, something_new=1),
}

REFUSED: dict[str, tuple[dict[str, Any], tuple[int, int | None, str]]] = {
    "no recipient": ({"message": {"text": "x"}}, (100, None, "The parameter recipient is required")),
    "empty recipient": (
        {"recipient": {}, "message": {"text": "x"}},
        (100, None, "param recipient must be non-empty."),
    ),
    "two recipients": (
        {"recipient": {"id": "7", "user_ref": "b"}, "message": {"text": "x"}},
        (100, None, "param recipient must name exactly one person."),
    ),
    "no message": ({"recipient": {"id": "7"}}, (100, None, "param message must be non-empty.")),
    "text of 2000": (
        send({"text": "x" * 2000}),
        (100, None, "Length of param message[text] must be less than or equal to 1999"),
    ),
    "metadata of 1000": (
        send({"text": "x", "metadata": "x" * 1000}),
        (100, None, "Length of param message[metadata] must be less than or equal to 999"),
    ),
    "empty text": (send({"text": ""}), (100, None, "param message[text] must be non-empty.")),
    "text and attachment": (
        send({"text": "x", "attachment": {"type": "image", "payload": {"attachment_id": "99"}}}),
        (100, None, "param message must have either text or attachment."),
    ),
    "foreign key in message": (
        send({"text": "x", "creative": "a"}),
        (100, None, 'Invalid keys "creative" were found in param "message".'),
    ),
    "four buttons": (
        buttons(*[POSTBACK] * 4),
        (105, None, "param name_placeholder[buttons] has too many elements."),
    ),
    "four buttons in an element": (
        element(buttons=[POSTBACK] * 4),
        (105, None, "param name_placeholder[elements][0][buttons] has too many elements."),
    ),
    "no button": (buttons(), (100, None, "param name_placeholder[buttons] must be non-empty.")),
    "title of 21": (
        buttons(POSTBACK | {"title": "x" * 21}),
        (100, None, "Length of param name_placeholder[buttons][0][title] must be less than or equal to 20"),
    ),
    "button text of 641": (
        template(template_type="button", text="x" * 641, buttons=[POSTBACK]),
        (100, None, "Length of param name_placeholder[text] must be less than or equal to 640"),
    ),
    "payload of 1001": (
        buttons(POSTBACK | {"payload": "x" * 1001}),
        (100, None, "Length of param name_placeholder[buttons][0][payload] must be less than or equal to 1000"),
    ),
    "no url": (
        buttons({"type": "web_url", "title": "Show"}),
        (100, None, "param name_placeholder[buttons][0][url] must be non-empty."),
    ),
    "foreign scheme": (
        buttons(URL_BUTTON | {"url": "myapp://shoes"}),
        (100, None, "param name_placeholder[buttons][0][url] must be a valid URI."),
    ),
    "unknown button": (
        buttons({"type": "element_share"}),
        (
            100,
            None,
            (
                "param name_placeholder[buttons][0][type] must be one of "
                "{ACCOUNT_LINK, ACCOUNT_UNLINK, GAME_PLAY, PHONE_NUMBER, POSTBACK, WEB_URL}."
            ),
        ),
    ),
    "foreign key in button": (
        buttons(URL_BUTTON | {"payload": "x"}),
        (100, None, 'Invalid keys "payload" were found in param "name_placeholder[buttons][0]".'),
    ),
    "title in default action": (
        element(default_action=URL_BUTTON),
        (100, None, 'Invalid keys "title" were found in param "name_placeholder[elements][0][default_action]".'),
    ),
    "host not whitelisted": (
        buttons(URL_BUTTON | {"url": "https://acme.smart.link/x", "messenger_extensions": True}),
        (100, None, "URL provided is not whitelisted for messenger extensions"),
    ),
    "look-alike host not whitelisted": (
        buttons(URL_BUTTON | {"url": "https://evilshop.example/x", "messenger_extensions": True}),
        (100, None, "URL provided is not whitelisted for messenger extensions"),
    ),
    "http not whitelisted": (
        buttons(URL_BUTTON | {"url": "http://shop.example/x", "messenger_extensions": True}),
        (100, None, "URL provided is not whitelisted for messenger extensions"),
    ),
    "fallback without extensions": (
        buttons(URL_BUTTON | {"fallback_url": "https://shop.example/"}),
        (100, None, "param name_placeholder[buttons][0][fallback_url] needs messenger_extensions."),
    ),
    "eleven elements": (
        template(template_type="generic", elements=[{"title": "x"}] * 11),
        (105, None, "param name_placeholder[elements] has too many elements."),
    ),
    "element title of 81": (
        element(title="x" * 81),
        (100, None, "Length of param name_placeholder[elements][0][title] must be less than or equal to 80"),
    ),
    "fourteen quick replies": (
        quick_replies(*[reply()] * 14),
        (105, None, "param message[quick_replies] has too many elements."),
    ),
    "quick reply title of 21": (
        quick_replies(reply(title="x" * 21)),
        (100, None, "Length of param message[quick_replies][0][title] must be less than or equal to 20"),
    ),
    "quick reply payload of 1001": (
        quick_replies(reply(payload="x" * 1001)),
        (100, None, "Length of param message[quick_replies][0][payload] must be less than or equal to 1000"),
    ),
    "media not on facebook": (
        media(url="https://shop.example/a.png"),
        (100, 2018185, "Media URL must be a Facebook URL"),
    ),
    "media on a look-alike of facebook": (
        media(url="https://notfacebook.com/a.png"),
        (100, 2018185, "Media URL must be a Facebook URL"),
    ),
    "attachment of another page": (
        send({"attachment": {"type": "image", "payload": {"attachment_id": "98"}}}),
        (100, 2018074, "Attachment is not owned by this page"),
    ),
    "media of another page": (
        media(attachment_id="98"),
        (100, 2018074, "Attachment is not owned by this page"),
    ),
    "address in a follow-up": (
        feedback(feedback_screens=[{"questions": [{"id": "q", "type": "csat", "follow_up": {"title": "ftp://x.y"}}]}]),
        (
            100,
            None,
            "param name_placeholder[feedback_screens][0][questions][0][follow_up][title] must not contain a URL.",
        ),
    ),
    "dead tag": (
        send({"text": "x"}, messaging_type="MESSAGE_TAG", tag="CONFIRMED_EVENT_UPDATE"),
        (100, None, "param tag must be one of {CUSTOMER_FEEDBACK, HUMAN_AGENT}."),
    ),
    "tag missing": (
        send({"text": "x"}, messaging_type="MESSAGE_TAG"),
        (100, None, "param tag is required for messaging_type MESSAGE_TAG."),
    ),
    "dead messaging type": (
        send({"text": "x"}, messaging_type="NON_PROMOTIONAL_SUBSCRIPTION"),
        (100, None, "param messaging_type must be one of {MESSAGE_TAG, RESPONSE, UPDATE, UTILITY}."),
    ),
    "text as customer feedback": (send({"text": "x"}, **FEEDBACK_TAG), FEEDBACK_ONLY),
    "template of buttons as customer feedback": (buttons(POSTBACK) | FEEDBACK_TAG, FEEDBACK_ONLY),
    "action as customer feedback": (
        {"recipient": {"id": "7"}, "sender_action": "typing_on", **FEEDBACK_TAG},
        FEEDBACK_ONLY,
    ),
    "address in the title of customer feedback": (
        feedback(title="Rate https://shop.example"),
        (100, None, "param name_placeholder[title] must not contain a URL."),
    ),
    "address in the button of customer feedback": (
        feedback(button_title="WWW.shop.example"),
        (100, None, "param name_placeholder[button_title] must not contain a URL."),
    ),
    "address in a question of customer feedback": (
        feedback(feedback_screens=[{"questions": [{"id": "q1", "type": "csat", "title": "http://shop.example?"}]}]),
        (
            100,
            None,
            "param name_placeholder[feedback_screens][0][questions][0][title] must not contain a URL.",
        ),
    ),
    "unknown control": (
        send({"text": "x"}, thread_control={"control_type": "steal"}),
        (100, None, "param thread_control[control_type] must be one of {PASS, RELEASE}."),
    ),
    "control of the wrong type": (
        send({"text": "x"}, thread_control="pass"),
        (100, None, "param thread_control must be an object."),
    ),
    "persona of another Page": (
        send({"text": "x"}, persona_id="2"),
        (100, None, "param persona_id must be the id of a persona of this Page."),
    ),
    "sticker of the wrong type": (
        send({"sticker_id": ["369239263222822"]}),
        (100, None, "param message[sticker_id] must be a string."),
    ),
    "persona of the wrong type": (
        send({"text": "x"}, persona_id=["1"]),
        (100, None, "param persona_id must be a string."),
    ),
    "reply to nothing": (send({"text": "x"}, reply_to={}), (100, None, "param reply_to[mid] must be non-empty.")),
    "reply to an object": (
        send({"text": "x"}, reply_to={"mid": {"id": "m_1"}}),
        (100, None, "param reply_to[mid] must be a string."),
    ),
    "text as utility": (
        send({"text": "x"}, **UTILITY),
        (100, None, "param message[template] is required for messaging_type UTILITY."),
    ),
    "template of buttons as utility": (
        buttons(POSTBACK) | UTILITY,
        (100, None, "param message[template] is required for messaging_type UTILITY."),
    ),
    "action as utility": (
        {"recipient": {"id": "7"}, "sender_action": "typing_on", **UTILITY},
        (100, None, "param message[template] is required for messaging_type UTILITY."),
    ),
    "utility template with text of its own": (
        send({"template": {"name": "order_update", "text": "Buy!"}}, **UTILITY),
        (100, None, 'Invalid keys "text" were found in param "message[template]".'),
    ),
    "text beside a utility template": (
        send({**UTILITY_TEMPLATE, "text": "Buy!"}, **UTILITY),
        (100, None, "param message must have either text or attachment."),
    ),
    "utility template without a name": (
        send({"template": {}}, **UTILITY),
        (100, None, "param message[template][name] must be a string."),
    ),
    "action with message": (
        send({"text": "x"}, sender_action="typing_on"),
        (100, None, "Must send sender_action or message, but not both."),
    ),
    "dead template": (
        template(template_type="list", elements=[]),
        (100, None, "param name_placeholder[template_type] is not supported: 'list'"),
    ),
    "order number again": (
        template(
            template_type="receipt",
            recipient_name="Ada",
            order_number="order-1",
            currency="EUR",
            payment_method="Visa",
            summary={"total_cost": 1},
        ),
        (100, None, "param name_placeholder[order_number] must be unique."),
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_body_that_facebook_accepts_is_accepted(name: str) -> None:
    """Up to each limit, and with every form of a recipient."""
    assert answer(ACCEPTED[name]) is None


@pytest.mark.parametrize("name", REFUSED)
def test_a_body_that_facebook_refuses_is_refused(name: str) -> None:
    """With Facebook's code and subcode."""
    body, expected = REFUSED[name]
    assert expected == answer(body)


def test_instagram_counts_bytes() -> None:
    """At most 1000, where Messenger allows 1999 characters."""
    assert answer(send({"text": "ü" * 500}), INSTAGRAM) is None
    assert answer(send({"text": "ü" * 501}), INSTAGRAM) is not None


def test_instagram_has_two_types_of_button() -> None:
    """URL and postback."""
    assert answer(buttons(URL_BUTTON, POSTBACK), INSTAGRAM) is None
    assert answer(buttons({"type": "account_unlink"}), INSTAGRAM) is not None


def test_only_instagram_accepts_several_attachments() -> None:
    """In ``attachments``."""
    picture = {"type": "image", "payload": {"url": "https://shop.example/a.png"}}
    assert answer(send({"attachments": [picture, picture]}), INSTAGRAM) is None
    assert answer(send({"attachments": [picture]})) is not None


def test_instagram_has_one_tag() -> None:
    """That of a human agent."""
    agent = {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}
    assert answer(send({"text": "x"}, **agent), INSTAGRAM) is None
    expected = (100, None, "param tag must be one of {HUMAN_AGENT}.")
    assert expected == answer(send({"text": "x"}, **FEEDBACK_TAG), INSTAGRAM)


def test_instagram_cuts_titles_of_quick_replies() -> None:
    """It does not refuse them, as Messenger does."""
    long = quick_replies(reply(title="x" * 21))
    assert answer(long, INSTAGRAM) is None
    assert answer(long, PAGE) is not None
    assert answer(quick_replies(reply(title="")), INSTAGRAM) is not None


def test_instagram_has_templates_for_notification_messages() -> None:
    """Beside three others."""
    optin = {"template_type": "notification_messages", "elements": [{"title": "News"}], "payload": "NEWS"}
    assert answer(template(**optin), INSTAGRAM) is None
    expected = (100, None, "param name_placeholder[template_type] is not supported: 'receipt'")
    assert expected == answer(template(template_type="receipt"), INSTAGRAM)


def test_instagram_has_no_utility_templates() -> None:
    """Neither the type of message nor the template."""
    expected = (100, None, "messaging_type UTILITY is not supported on Instagram.")
    assert expected == answer(send({"text": "x"}, **UTILITY), INSTAGRAM)
    assert expected == answer(send(UTILITY_TEMPLATE, **UTILITY), INSTAGRAM)
    expected = (100, None, 'Invalid keys "template" were found in param "message".')
    assert expected == answer(send(UTILITY_TEMPLATE), INSTAGRAM)


MENU = [{"locale": "default", "call_to_actions": [URL_BUTTON | {"title": "x" * 30}]}]


@pytest.mark.parametrize(
    ("body", "accepted"),
    [
        ({"get_started": {"payload": "GET_STARTED"}}, True),
        ({"persistent_menu": MENU}, True),
        ({"whitelisted_domains": ["https://shop.example"]}, True),
        ({"greeting": [{"locale": "default", "text": "Hello"}]}, True),
        ({"ice_breakers": [{"question": "Sizes?", "payload": "SIZES"}]}, True),
        ({"ice_breakers": [{"call_to_actions": [{"question": "Sizes?", "payload": "S"}], "locale": "default"}]}, True),
        ({"commands": [{"locale": "default", "commands": [{"name": "help", "description": "Help"}]}]}, True),
        ({"account_linking_url": "https://shop.example/login"}, True),
        ({"persistent_menu": [{"locale": "default", "composer_input_disabled": True}]}, True),
        ({"ice_breakers": "hello"}, False),
        ({"ice_breakers": {"question": "Sizes?", "payload": "SIZES"}}, False),
        ({"ice_breakers": ["hello"]}, False),
        ({"ice_breakers": []}, False),
        ({"ice_breakers": [{"question": "Sizes?"}]}, False),
        ({"ice_breakers": [{"call_to_actions": "hello"}]}, False),
        ({"get_started": "GET_STARTED"}, False),
        ({"get_started": {"payload": 5}}, False),
        ({"greeting": "hi"}, False),
        ({"greeting": {"locale": "default", "text": "hi"}}, False),
        ({"greeting": [{"text": ["hi"]}]}, False),
        ({"commands": "help"}, False),
        ({"commands": [{"commands": ["help"]}]}, False),
        ({"account_linking_url": 5}, False),
        ({"account_linking_url": "login"}, False),
        ({"whitelisted_domains": "https://shop.example"}, False),
        ({"whitelisted_domains": [5]}, False),
        ({"persistent_menu": "hello"}, False),
        ({"persistent_menu": {"locale": "default", "call_to_actions": [URL_BUTTON]}}, False),
        ({"persistent_menu": ["hello"]}, False),
        ({"persistent_menu": [{"locale": "default", "call_to_actions": "hello"}]}, False),
        ({"persistent_menu": [{"locale": "default", "composer_input_disabled": "yes"}]}, False),
        ({}, False),
        ({"get_started": {}}, False),
        ({"greeting": ["hi"]}, False),
        ({"whitelisted_domains": ["http://shop.example"]}, False),
        ({"whitelisted_domains": ["https://192.0.2.1"]}, False),
        ({"whitelisted_domains": ["https://localhost"]}, False),
        ({"persistent_menu": [{"locale": "en_US", "call_to_actions": [URL_BUTTON]}]}, False),
        ({"persistent_menu": [{"locale": "default", "call_to_actions": [URL_BUTTON] * 21}]}, False),
        ({"persistent_menu": [{"locale": "default", "call_to_actions": [URL_BUTTON | {"title": "x" * 31}]}]}, False),
    ],
)
def test_properties_of_the_messenger_profile(body: dict[str, Any], accepted: bool) -> None:
    """Its properties and their limits."""
    try:
        check_profile(body, PAGE)
    except GraphRefusal:
        assert not accepted
    else:
        assert accepted


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def changed(value: Any) -> st.SearchStrategy[Any]:
    """*value* with any of its parts replaced by any JSON."""
    if isinstance(value, dict):
        return JSON | st.fixed_dictionaries({name: changed(part) for name, part in value.items()})
    if isinstance(value, list):
        return JSON | st.tuples(*map(changed, value)).map(list)
    return st.just(value) | JSON


@given(st.sampled_from(sorted(ACCEPTED)).flatmap(lambda name: changed(ACCEPTED[name])))
def test_every_body_is_answered_as_by_facebook(body: Any) -> None:
    """Any JSON is accepted or refused; there is no other error."""
    if isinstance(body, dict):
        answer(body)
