"""Bodies before and after: only what a person taps becomes a SmartLink, and every other link says why not."""

from __future__ import annotations

import copy
import json
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.kochava.smartlink import LinkContext, NoSmartLink, SmartLinks
from kochava_bot_middleware.kochava.smartlink_settings import SmartLinkSettings
from kochava_bot_middleware.messenger.events import Channel
from kochava_bot_middleware.messenger.links.link import KeepReason, LinkKind
from kochava_bot_middleware.messenger.outgoing import Outgoing
from kochava_bot_middleware.settings import from_mapping
from kochava_bot_middleware.tracking.links.rewriting import (
    LeftAlone,
    Rewritten,
    context_of,
    explain,
    has_no_links,
    rewrite,
)

DEFAULT = "https://acme.smart.link/ab12cd34e?url={url}"
SHOP = "https://shop.example/shoes?a=1&b=2#top"
GREET = LinkContext(user_id="42", page_id="7", channel="messenger", handler="greet")


def smartlinks(**settings: Any) -> SmartLinks:
    """SmartLinks from a settings mapping."""
    return SmartLinks(from_mapping(SmartLinkSettings, {"default": DEFAULT} | settings))


LINKS = smartlinks()


def template(template_type: str, **payload: Any) -> dict[str, Any]:
    """A Send API body with a template."""
    return {
        "recipient": {"id": "42"},
        "message": {"attachment": {"type": "template", "payload": {"template_type": template_type, **payload}}},
    }


def button(**members: Any) -> dict[str, Any]:
    """A URL button."""
    return {"type": "web_url", "title": "Show", "url": SHOP, **members}


def payload_of(rewritten: Rewritten) -> Any:
    """The template of a rewritten body."""
    return rewritten.body["message"]["attachment"]["payload"]


def query(link: str) -> dict[str, list[str]]:
    """The query of a SmartLink, decoded."""
    return parse_qs(urlsplit(link).query)


def test_url_button_of_the_published_sample_becomes_a_smartlink() -> None:
    """Kochava's own bot page: the URL button changes, everything else is as it was."""
    sample = {
        "recipient": {"id": "USER_ID"},
        "message": {
            "attachment": {
                "type": "template",
                "payload": {
                    "template_type": "button",
                    "text": "What do you want to do next?",
                    "buttons": [
                        {"type": "web_url", "url": "https://shop.example/shoes", "title": "Show Website"},
                        {"type": "postback", "title": "Start Chatting", "payload": "USER_DEFINED_PAYLOAD"},
                    ],
                },
            }
        },
    }
    before = json.dumps(sample)

    rewritten = rewrite(sample, LINKS, LinkContext(user_id="USER_ID", channel="messenger", handler="greet"))

    smartlink = payload_of(rewritten)["buttons"][0]["url"]
    assert before == json.dumps(sample)
    assert before == json.dumps(rewritten.body).replace(smartlink, "https://shop.example/shoes")
    assert smartlink.startswith("https://acme.smart.link/ab12cd34e?url=https%3A%2F%2Fshop.example%2Fshoes&")
    assert ["USER_ID"] == query(smartlink)["fb_user_id"]
    assert 1 == rewritten.changed


def test_rewriting_again_changes_nothing() -> None:
    """What was sent can be sent again."""
    once = rewrite(template("button", buttons=[button()]), LINKS, GREET)
    twice = rewrite(once.body, LINKS, GREET)

    assert once.body is twice.body
    assert {NoSmartLink.ALREADY_SMARTLINK: 1} == twice.left_alone


@pytest.mark.parametrize(
    "message",
    [
        {"text": f"See {SHOP}", "quick_replies": [{"content_type": "text", "title": "Yes", "payload": SHOP}]},
        {"text": f"See {SHOP}", "attachment": template("button", buttons=[button()])["message"]["attachment"]},
        {"attachment": {"type": "image", "payload": {"url": SHOP}}},
        {},
    ],
)
def test_only_plain_text_is_known_to_have_no_links(message: dict[str, Any]) -> None:
    """What else there is may hold one."""
    assert not has_no_links({"recipient": {"id": "42"}, "message": message}, LINKS)


def test_plain_text_has_links_only_where_the_settings_look_for_them() -> None:
    """Nearly all messages are plain text, for which nothing else is asked."""
    body = {"recipient": {"id": "42"}, "message": {"text": f"See {SHOP}"}}
    assert has_no_links(body, LINKS)
    assert (body, 0, {}) == rewrite(body, LINKS, GREET)
    assert not has_no_links(body, smartlinks(text_links=True))


def test_outcomes_name_each_link_and_its_reason() -> None:
    """In order: the SmartLink, or the reason."""
    body = template("button", buttons=[button(), button(url="https://m.me/shop")])

    first, second = explain(body, LINKS, GREET)

    assert (SHOP, None) == (first.site.url, first.left_alone)
    assert [SHOP] == query(str(first.smartlink))["url"]
    assert (None, KeepReason.MESSENGER_LINK) == (second.smartlink, second.left_alone)


@pytest.mark.parametrize(
    ("settings", "url", "reason"),
    [
        ({"skip": ["shop.example/*"]}, SHOP, NoSmartLink.SKIPPED),
        ({"default": None}, SHOP, NoSmartLink.NO_TEMPLATE),
        ({}, "https://a.example:port/", NoSmartLink.UNUSABLE_ADDRESS),
        ({}, "tel:+49", KeepReason.NOT_HTTP),
        ({}, "https://control.kochava.com/v1/cpi/click?campaign_id=k", NoSmartLink.ALREADY_SMARTLINK),
    ],
)
def test_link_without_a_smartlink_stays_and_is_counted(settings: dict[str, Any], url: str, reason: LeftAlone) -> None:
    """The body is the caller's own, and the reason is counted."""
    body = template("button", buttons=[button(url=url)])

    rewritten = rewrite(body, smartlinks(**settings), GREET)

    assert body is rewritten.body
    assert {reason: 1} == rewritten.left_alone


INTO_BOT = "https://acme.smart.link/inbot?to={url}"


@pytest.mark.parametrize(
    ("match", "url"),
    [
        ("https://m.me/*", "https://m.me/shop?ref=r"),
        ("m.me/*", "http://M.me/shop"),
        ("m.me*", "https://m.me"),
        ("*m.me/*", "https://www.m.me/shop"),
        ("*://m.me*", "https://m.me/shop"),
        ("m.me:443/*", "https://user@m.me:443/shop"),
        ("https://ig.me/m/*", "https://ig.me/m/shop"),
        ("*.messenger.com/t/*", "https://www.messenger.com/t/shop"),
    ],
)
@pytest.mark.parametrize("place", ["button", "default action", "menu", "text"])
def test_a_route_that_names_its_host_replaces_a_link_into_messenger(match: str, url: str, place: str) -> None:
    """Its author wrote it for such links, wherever they are."""
    body = {
        "button": template("button", buttons=[button(url=url)]),
        "default action": template("generic", elements=[{"title": "T", "default_action": button(url=url)}]),
        "menu": {"persistent_menu": [{"call_to_actions": [button(url=url)]}]},
        "text": {"message": {"text": url}},
    }[place]
    links = smartlinks(routes=[{"match": match, "link": INTO_BOT}], text_links=True)

    (outcome,) = explain(body, links, GREET)
    once = rewrite(body, links, GREET)

    assert [url] == query(str(outcome.smartlink))["to"]
    assert (1, {}) == (once.changed, once.left_alone)
    assert {NoSmartLink.ALREADY_SMARTLINK: 1} == rewrite(once.body, links, GREET).left_alone


@pytest.mark.parametrize(
    "match", ["*", "https://*", "*.me/*", "*me/*", "*/shop*", "*://*/*", "m.mex/*", "https://sm.me/*"]
)
def test_a_route_for_any_host_leaves_links_into_messenger_alone(match: str) -> None:
    """Its author hardly thought of them, and they are attributed by their own ref."""
    body = template("button", buttons=[button(url="https://m.me/shop")])

    rewritten = rewrite(body, smartlinks(routes=[{"match": match, "link": INTO_BOT}]), GREET)

    assert {KeepReason.MESSENGER_LINK: 1} == rewritten.left_alone


@pytest.mark.parametrize(
    ("url", "settings", "reason"),
    [
        ("https://m.me/shop", {"skip": ["m.me/*"]}, NoSmartLink.SKIPPED),
        ("tel:+49", {"routes": [{"match": "*tel:*", "link": INTO_BOT}]}, KeepReason.NOT_HTTP),
        ("mailto:a@m.me", {"routes": [{"match": "*m.me*", "link": INTO_BOT}]}, KeepReason.NOT_HTTP),
        ("fb-messenger://m.me/x", {"routes": [{"match": "*m.me*", "link": INTO_BOT}]}, KeepReason.NOT_HTTP),
    ],
)
def test_no_route_overrules_what_is_skipped_or_no_web_address(
    url: str, settings: dict[str, Any], reason: LeftAlone
) -> None:
    """There is no SmartLink to a telephone number."""
    links = smartlinks(**{"routes": [{"match": "m.me/*", "link": INTO_BOT}], **settings})

    rewritten = rewrite(template("button", buttons=[button(url=url)]), links, GREET)

    assert {reason: 1} == rewritten.left_alone


def test_a_route_overrules_no_reason_of_the_place() -> None:
    """A log-in button must lead to the page that Facebook knows."""
    body = template("button", buttons=[{"type": "account_link", "url": "https://m.me/shop"}])

    rewritten = rewrite(body, smartlinks(routes=[{"match": "m.me/*", "link": INTO_BOT}]), GREET)

    assert {KeepReason.ACCOUNT_LINK: 1} == rewritten.left_alone


@pytest.mark.parametrize(
    "body",
    [
        template("button", buttons=[button(webview_share_button="show")]),
        template("generic", elements=[{"buttons": [{"type": "element_share", "share_contents": template(
            "generic", elements=[{"buttons": [button()]}])["message"]}]}]),
        {**template("button", buttons=[button()]), "recipient": {"comment_id": "c"}},
        {"persistent_menu": [{"call_to_actions": [button()]}]},
    ],
    ids=["share_button", "element_share", "no_user_id", "page_menu"],
)  # fmt: skip
def test_shared_link_does_not_name_the_user(body: dict[str, Any]) -> None:
    """Others are sure to get it: the link is tracked without the id."""
    (outcome,) = explain(body, LINKS, GREET)

    assert outcome.smartlink is not None
    assert "fb_user_id" not in query(outcome.smartlink)
    assert ["messenger"] == query(outcome.smartlink)["sub_site_id"]


def test_user_level_menu_names_the_user() -> None:
    """custom_user_settings is one person's, whether the body or the call names them."""
    menu = {"persistent_menu": [{"call_to_actions": [button()]}]}

    (outcome,) = explain(menu, LINKS, GREET, endpoint="custom_user_settings")

    assert (LinkKind.MENU_ITEM, ["42"]) == (outcome.site.kind, query(str(outcome.smartlink))["fb_user_id"])


def test_extensions_need_a_whitelisted_https_smartlink() -> None:
    """Left alone by default; rewritten when the settings say so; never to plain http."""
    body = template("button", buttons=[button(messenger_extensions=True, fallback_url="https://shop.example/plain")])

    assert {KeepReason.MESSENGER_EXTENSIONS: 1} == rewrite(body, LINKS, GREET).left_alone
    assert SHOP == payload_of(rewrite(body, LINKS, GREET))["buttons"][0]["url"]
    assert 1 == rewrite(body, LINKS, GREET).changed
    assert 2 == rewrite(body, smartlinks(extensions_whitelisted=True), GREET).changed
    plain = smartlinks(extensions_whitelisted=True, default=DEFAULT.replace("https", "http"))
    assert {KeepReason.MESSENGER_EXTENSIONS: 1} == rewrite(body, plain, GREET).left_alone


def test_whitelisted_extensions_do_not_rewrite_links_that_stay_for_another_reason() -> None:
    """A conversation, or an address that is none, stays also in a button with extensions."""
    buttons = [button(url=url, messenger_extensions=True) for url in ("https://m.me/shop", "tel:+49")]

    rewritten = rewrite(template("button", buttons=buttons), smartlinks(extensions_whitelisted=True), GREET)

    assert {KeepReason.MESSENGER_LINK: 1, KeepReason.NOT_HTTP: 1} == rewritten.left_alone


def test_form_names_the_user_of_its_own_recipient() -> None:
    """A form has no other place that names its recipient."""
    body = template("button", buttons=[button()])
    form = urlencode({name: json.dumps(value) for name, value in body.items()})

    rewritten = rewrite(form, LINKS, LinkContext(channel="messenger"))

    (message,) = parse_qs(rewritten.body)["message"]
    assert ["42"] == query(json.loads(message)["attachment"]["payload"]["buttons"][0]["url"])["fb_user_id"]


def test_each_request_of_a_batch_names_its_own_user() -> None:
    """The recipient is that of the request, not that of the call."""
    requests = [
        {
            "method": "POST",
            "relative_url": "me/messages",
            "body": urlencode(
                {
                    "recipient": json.dumps({"id": user_id}),
                    "message": json.dumps(template("button", buttons=[button()])["message"]),
                }
            ),
        }
        for user_id in ("1", "2", "1")
    ]

    outcomes = explain({"batch": requests}, LINKS, GREET, endpoint="batch")

    assert [["1"], ["2"], ["1"]] == [query(str(outcome.smartlink))["fb_user_id"] for outcome in outcomes]


def test_parameters_may_carry_the_position_of_the_link() -> None:
    """Template, title and running number of each link."""
    links = smartlinks(params={"cp_1": "{template}/{title}/{index}"})
    body = template("generic", elements=[{"title": "A", "image_url": SHOP, "buttons": [button(), button(title="Buy")]}])

    places = [query(str(outcome.smartlink))["cp_1"][0] for outcome in explain(body, links, GREET)]

    assert ["generic/Show/1", "generic/Buy/2"] == places


def test_pictures_are_listed_only_on_request() -> None:
    """They cannot be tapped, so they would only obscure the counts."""
    body = template("generic", elements=[{"title": "A", "image_url": SHOP}])

    assert {} == rewrite(body, LINKS, GREET).left_alone
    assert {KeepReason.PICTURE: 1} == rewrite(body, LINKS, GREET, every_place=True).left_alone


def test_plain_text_is_left_by_default() -> None:
    """The same object comes back."""
    body = {"recipient": {"id": "42"}, "message": {"text": f"See {SHOP}"}}

    assert body is rewrite(body, LINKS, GREET).body


@pytest.mark.parametrize(
    ("before", "address", "after"),
    [
        ("See ", SHOP, "."),
        ("(", SHOP, ")"),
        ("", "https://shop.example/a_(b)", "!"),
        ("»", "https://shop.example/", "« …"),
        ("a ", "HTTP://shop.example/x,y", ", b"),
        ("见", "https://shop.example/鞋", "。"),
    ],
)
def test_sentence_around_an_address_stays(before: str, address: str, after: str) -> None:
    """Full stops and closing brackets of the sentence are not part of the address."""
    body = {"recipient": {"id": "42"}, "message": {"text": before + address + after}}

    text = rewrite(body, smartlinks(text_links=True), GREET).body["message"]["text"]

    smartlink = text.removeprefix(before).removesuffix(after)
    assert before + smartlink + after == text
    assert [address] == query(smartlink)["url"]


@pytest.mark.parametrize(("channel", "limit"), [("messenger", 1999), ("instagram", 1000)])
def test_text_never_grows_beyond_its_limit(channel: str, limit: int) -> None:
    """Characters on Messenger, bytes on Instagram: up to the limit it is rewritten, beyond it is left and counted."""
    links = smartlinks(text_links=True)
    context = LinkContext(channel=channel)
    smartlink = str(links.make(SHOP, context))
    letter, size = ("ä", 2) if channel == "instagram" else ("ä", 1)
    room = limit - len(smartlink) - 1
    fitting = letter * (room // size) + "x" * (room % size) + " "

    fits = rewrite({"message": {"text": fitting + SHOP}}, links, context)
    exceeds = rewrite({"message": {"text": "x" + fitting + SHOP}}, links, context)

    assert fitting + smartlink == fits.body["message"]["text"]
    assert {"text_too_long": 1} == exceeds.left_alone
    assert "x" + fitting + SHOP == exceeds.body["message"]["text"]


def test_context_comes_from_the_send_itself() -> None:
    """User, Page, channel and creative are the send's; handler and referral are its cause."""
    outgoing = Outgoing(body=template("button"), page_id="7", channel=Channel.INSTAGRAM, creative="b")

    context = context_of(outgoing, handler="greet", ref="r", ad_id="a")

    assert context == LinkContext(
        user_id="42", page_id="7", channel="instagram", creative="b", handler="greet", ref="r", ad_id="a"
    )


@pytest.mark.parametrize("handler", ["greet", "welcome", None])
def test_renaming_a_handler_changes_no_report(handler: str | None) -> None:
    """By default a SmartLink tells the Page, the channel, and the creative where one was given."""
    sent = LinkContext(page_id="7", channel="messenger", handler=handler)
    plain = rewrite(template("button", buttons=[button()]), LINKS, sent)
    named = rewrite(template("button", buttons=[button()]), LINKS, attrs.evolve(sent, creative="c"))

    facts = {"url": [SHOP], "site_id": ["7"], "sub_site_id": ["messenger"], "fb_user_id": ["42"]}
    assert facts == query(payload_of(plain)["buttons"][0]["url"])
    assert facts | {"creative_id": ["c"]} == query(payload_of(named)["buttons"][0]["url"])


ADDRESSES = st.sampled_from([SHOP, "https://m.me/x", "https://acme.smart.link/x", "tel:1", "https://[", "https://ä"])
BUTTONS = st.fixed_dictionaries(
    {"type": st.sampled_from(["web_url", "postback", "account_link"]), "url": ADDRESSES | st.text()},
    optional={"fallback_url": ADDRESSES, "messenger_extensions": st.booleans(), "title": st.text(), "x": st.text()},
)
BODIES = st.builds(
    lambda kind, text, elements, buttons: {
        **template(kind, text=text, elements=elements, buttons=buttons),
        "tag": "T",
    },
    st.sampled_from(["generic", "button", "list", "media", "new"]),
    st.text() | st.lists(ADDRESSES).map(" ".join),
    st.lists(st.fixed_dictionaries({"title": st.text(), "buttons": st.lists(BUTTONS, max_size=3)}), max_size=3),
    st.lists(BUTTONS, max_size=3),
)


@given(BODIES, st.sampled_from([{}, {"extensions_whitelisted": True}, {"params": {"t": "{title}"}}]))
def test_rewriting_is_idempotent_pure_and_keeps_order(body: dict[str, Any], settings: dict[str, Any]) -> None:
    """Twice is once; the caller's object is untouched; keys keep their order; each value decodes exactly."""
    links = smartlinks(text_links=True, **settings)
    before = copy.deepcopy(body)

    once = rewrite(body, links, GREET)
    twice = rewrite(once.body, links, GREET)

    assert before == body
    assert (0, once.body) == (twice.changed, twice.body)
    outcomes = explain(body, links, GREET)
    assert [one.site.url for one in outcomes if one.site.url] == [
        query(str(outcome.smartlink))["url"][0] if outcome.smartlink else outcome.site.url
        for outcome in outcomes
        if outcome.site.url
    ]
    restored = json.dumps(once.body)
    for outcome in outcomes:
        if outcome.smartlink:
            restored = restored.replace(json.dumps(outcome.smartlink)[1:-1], json.dumps(outcome.site.url)[1:-1])
    assert json.dumps(body) == restored


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.just(SHOP) | st.just("web_url"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text()
            | st.sampled_from(["message", "attachment", "type", "payload", "buttons", "url", "text", "recipient"]),
            inner,
            max_size=4,
        )
    ),
)


@given(ANY_JSON)
def test_no_body_makes_rewriting_raise(body: Any) -> None:
    """A body that Facebook would refuse is passed on as it is, or with its links replaced, never lost."""
    rewrite(body, smartlinks(text_links=True), GREET)
    rewrite({"recipient": {"id": "42"}, "message": body}, LINKS, GREET, every_place=True)
