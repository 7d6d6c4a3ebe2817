"""Outgoing bodies and calls to record: every template and method, in every form a body may take."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from tests.messenger.test_links import KEPT, REWRITTEN
from tests.sandbox.messenger.test_rules import ACCEPTED, REFUSED

from .files import Case

SHOP = "https://shop.example/shoes?a=1&b=2#top"
DEFAULT = "https://acme.smart.link/ab12cd34e?url={url}"
TO = {"id": "42"}

SETTINGS: dict[str, dict[str, Any]] = {
    "default": {"smartlinks": {"default": DEFAULT}},
    "none": {},
    "routes": {
        "smartlinks": {
            "default": DEFAULT,
            "routes": [
                {
                    "match": "https://shop.example/*",
                    "link": "https://go.acme.example/s?to={url}&h={host}&q={query:raw}",
                },
                {"match": "*.example/fixed", "link": "https://acme.smart.link/fixed"},
                {"match": "http://old.example*", "link": "https://acme.smart.link/p{path:raw}?t={title}&i={index}"},
            ],
        }
    },
    "params": {
        "smartlinks": {
            "default": DEFAULT + "&site_id=own",
            "params": {
                "site_id": "{channel}",
                "c": "{creative}-{index}",
                "t": "{template}/{title}",
                "p": "{page_id}",
                "fix": "1",
                "r": "{ref}{ad_id}",
            },
            "user_param": "uid",
        }
    },
    "nobody": {"smartlinks": {"default": DEFAULT, "user_param": None}},
    "hashed": {"smartlinks": {"default": DEFAULT, "user_id_hash": True, "user_id_hash_key": "hash-key"}},
    "text": {"smartlinks": {"default": DEFAULT, "text_links": True}},
    "extensions": {"smartlinks": {"default": DEFAULT, "extensions_whitelisted": True}},
    "skip": {
        "smartlinks": {
            "default": DEFAULT,
            "skip": ["*://skip.example/*", "shop.example/no*"],
            "hosts": ["go.acme.example"],
        }
    },
    "fragment": {"smartlinks": {"default": "https://acme.smart.link/x?u={url}#f", "params": {"a": "{user_id}"}}},
    "pages": {
        "smartlinks": {"default": DEFAULT},
        "pages": {
            "7": {"smartlinks": {"default": "https://seven.smart.link/x?url={url}"}},
            "8": {"kochava_app_id": "ko8"},
        },
    },
    "off": {"smartlinks": {"default": DEFAULT}, "mode": "off"},
    "dry run": {"smartlinks": {"default": DEFAULT}, "mode": "dry_run"},
    "hashed people": {"smartlinks": {"default": DEFAULT}, "privacy": {"user_id_hash": True, "user_id_hash_key": "k"}},
}

ADDRESSES = (
    SHOP,
    "https://shop.example",
    "http://old.example/a/b?x=%2F",
    "https://a.example/fixed",
    "https://skip.example/x",
    "https://shop.example/no",
    "https://m.me/shop?ref=a",
    "https://www.messenger.com/t/1",
    "tel:+49",
    "",
    "https://acme.smart.link/ab12cd34e?url=x",
    "https://go.acme.example/s",
    "HTTPS://Shop.Example/Ü?ü=1",
    "https://[",
    "https://user:pw@shop.example:8443/",
    "https://shop.example/a b",
    "//shop.example",
    "https://xn--mnchen-3ya.de/",
    "https://shop.example/\ud83d",
    "https://smart.link/x",
    "https://shop.example/?url={url}&x={y}",
    "https://a.example/#",
)


def button(**members: Any) -> dict[str, Any]:
    """A URL button."""
    return {"type": "web_url", "title": "Show", "url": SHOP, **members}


def template(template_type: str = "button", **payload: Any) -> dict[str, Any]:
    """A template attachment."""
    return {"attachment": {"type": "template", "payload": {"template_type": template_type, **payload}}}


def body(message: Any, **members: Any) -> dict[str, Any]:
    """A Send API body."""
    return {"recipient": TO, "message": message, **members}


def rewrite_cases() -> list[Case]:
    """Bodies to rewrite."""
    return [*_places(), *_variants(), *_addresses(), *_forms(), *_texts(), *_endpoints(), *_valid(), *_made()]


def _case(group: str, name: str, content: Any, settings: str = "default", **send: Any) -> Case:
    return {"group": group, "name": name, "given": {"body": content, "settings": SETTINGS[settings], "send": send}}


def _places() -> Iterator[Case]:
    for name, (content, _kind) in REWRITTEN.items():
        yield _case("places", name, content)
        yield _case("places", f"{name}, Instagram", content, "params", channel="instagram", page_id="9", creative="c1")
    for name, (content, _kind, _reason) in KEPT.items():
        yield _case("kept", name, content, "text")


def _variants() -> Iterator[Case]:
    cards = [
        {
            "title": f"Größe {number}",
            "image_url": "https://cdn.example/i.png",
            "item_url": "http://old.example/i",
            "default_action": {"type": "web_url", "url": "https://a.example/fixed"},
            "buttons": [
                button(title=f"T{number}", url=f"https://shop.example/{number}?q=1"),
                button(messenger_extensions=True, fallback_url="https://skip.example/f"),
                {"type": "postback", "title": "Chat", "payload": "https://shop.example/payload"},
                {"type": "element_share", "share_contents": template(buttons=[button()])} if number == 2 else {},
            ],
        }
        for number in range(3)
    ]
    for settings in SETTINGS:
        for channel in ("messenger", "instagram"):
            about = {
                "channel": channel,
                "page_id": "7",
                "creative": "b",
                "handler": "greet",
                "ref": "r 1",
                "ad_id": "5",
            }
            yield _case(
                "settings", f"{settings}, {channel}", body(template("generic", elements=cards)), settings, **about
            )


def _addresses() -> Iterator[Case]:
    for settings in ("default", "routes", "skip"):
        for number, url in enumerate(ADDRESSES):
            yield _case("addresses", f"{settings} {number:02d}", body(template(buttons=[button(url=url)])), settings)


def _forms() -> Iterator[Case]:
    message = template(buttons=[button(title="Zeig & mehr")])
    fields = {"recipient": json.dumps(TO), "message": json.dumps(message)}
    request = {"method": "POST", "relative_url": "me/messages"}
    forms: dict[str, Any] = {
        "members as JSON text": fields,
        "attachment as JSON text": body({"attachment": json.dumps(message["attachment"])}),
        "payload as JSON text": body(
            {"attachment": {"type": "template", "payload": json.dumps(message["attachment"]["payload"])}}
        ),
        "JSON text": {"$text": json.dumps(body(message), indent=1)},
        "JSON text without ASCII": {"$text": json.dumps(body({**message, "metadata": "ü"}), ensure_ascii=False)},
        "JSON bytes": {"$bytes": json.dumps(body(message))},
        "form": {"$text": urlencode({**fields, "access_token": "a|b"})},
        "form bytes": {"$bytes": urlencode(fields)},
        "form, partly encoded": {"$text": f"recipient={fields['recipient']}&message={quote(fields['message'])}&tag=A"},
        "form by hand": {"$text": f"message={fields['message']}&recipient={fields['recipient']}&tag=A"},
        "form with spelling": {"$text": f"access_token=a|b&x&empty=&message={quote(fields['message'])}"},
        "array": [body(message), {**body(message), "recipient": {"id": "43"}}],
        "array as text": {"$text": json.dumps([body(message), body({"text": "x"})])},
        "tuple of buttons": body(
            {
                "attachment": {
                    "type": "template",
                    "payload": {"template_type": "button", "buttons": {"$tuple": [button()]}},
                }
            }
        ),
        "batch": {"batch": [{**request, "body": urlencode(fields)}, {"method": "GET", "relative_url": "me"}]},
        "batch of three people": {
            "batch": [
                {**request, "body": urlencode({**fields, "recipient": json.dumps({"id": str(number)})})}
                for number in range(3)
            ]
        },
        "batch as text": {"batch": json.dumps([{**request, "body": body(message)}])},
        "batch of bytes": {"batch": [{**request, "body": {"$bytes": urlencode(fields)}}]},
        "batch of a batch": {"batch": [{**request, "body": {"batch": [{**request, "body": urlencode(fields)}]}}]},
        "bare array of requests": [{**request, "body": body(message)}],
        "messages": {"messages": [message, {"text": "x"}], "recipient": TO},
        "nested share": body(
            template(
                "generic",
                elements=[
                    {
                        "title": "A",
                        "buttons": [
                            {
                                "type": "element_share",
                                "share_contents": template("generic", elements=[{"title": "B", "buttons": [button()]}]),
                            }
                        ],
                    }
                ],
            )
        ),
        "quick replies": body(
            {
                "text": "?",
                "quick_replies": [{"content_type": "text", "title": "A", "payload": SHOP, "image_url": SHOP}],
                **message,
            }
        ),
        "not JSON": {"$text": "hello & goodbye"},
        "broken JSON": {"$text": '{"message": '},
        "empty text": {"$text": ""},
        "number": 5,
        "null": None,
        "text only": body({"text": "hi"}),
        "action": {"recipient": TO, "sender_action": "typing_on"},
        "big number": {"$text": json.dumps({"message": message, "id": 2**70})},
        "odd members": body({"attachment": 5, "attachments": "x"}),
        "odd buttons": body(
            template(buttons=[None, 5, [], {}, "x", button(url=5), button(url=None), {"type": 5, "url": SHOP}])
        ),
        "deep menu": {
            "persistent_menu": [
                {
                    "call_to_actions": [
                        {
                            "type": "nested",
                            "title": "A",
                            "call_to_actions": [{"type": "nested", "title": "B", "call_to_actions": [button()]}],
                        }
                    ]
                }
            ]
        },
    }
    for name, content in forms.items():
        yield _case("forms", name, content, "params", page_id="9", handler="h")
    for recipient in (
        {"user_ref": "u"},
        {"comment_id": "c"},
        {"notification_messages_token": "t"},
        '{"id": "44"}',
        5,
        {},
    ):
        yield _case("forms", f"to {json.dumps(recipient)}", {"recipient": recipient, "message": message})
    yield _case("forms", "to nobody", {"message": message})


def _texts() -> Iterator[Case]:
    texts = [
        f"See ({SHOP}).",
        "https://a.example https://b.example",
        "https://a.example/" + "x" * 1950,
        "no address",
        "www.shop.example and shop.example",
        "Ü" * 400 + " https://a.example/ü",
        "https://m.me/shop and https://a.example!",
        "<https://a.example>, \"https://b.example\"; 'https://c.example'",
        "http://a.example/(x)",
        "https://",
        "",
        "line\nhttps://a.example\nhttps://acme.smart.link/ab12cd34e?url=1",
        "mailto:a@b.example https://skip.example/x?",
    ]
    for number, text in enumerate(texts):
        for channel in ("messenger", "instagram"):
            yield _case("texts", f"{number:02d} {channel}", body({"text": text}), "text", channel=channel)
    link = len(f"{DEFAULT.format(url=quote('https://a.example', ''))}&sub_site_id=messenger&fb_user_id=42")
    for channel, limit in (("messenger", 2000), ("instagram", 1000)):
        for over in (-1, 0, 1):
            text = "x" * (limit + over - link - 1) + " https://a.example"
            yield _case("texts", f"{over} over the limit of {channel}", body({"text": text}), "text", channel=channel)
    yield _case("texts", "beside a template", body(template(text=f"See {SHOP}", buttons=[button()])), "text")


def _endpoints() -> Iterator[Case]:
    menu = {
        "persistent_menu": [{"locale": "default", "call_to_actions": [button(), button(webview_share_button="hide")]}]
    }
    bodies: list[tuple[str, Any]] = [
        ("messenger_profile", menu),
        ("custom_user_settings", {"psid": "42", **menu}),
        (
            "messenger_profile",
            {"get_started": {"payload": SHOP}, "whitelisted_domains": [SHOP], "home_url": {"url": SHOP}},
        ),
        ("personas", {"name": "Ann", "profile_picture_url": SHOP}),
        ("message_attachments", body({"attachment": {"type": "image", "payload": {"url": SHOP, "is_reusable": True}}})),
        ("messages", {"name": "Welcome", "call_to_actions": [{"message": template(buttons=[button()])}]}),
    ]
    for number, (endpoint, content) in enumerate(bodies):
        yield _case("endpoints", f"{number} {endpoint}", content, endpoint=endpoint)


def _valid() -> Iterator[Case]:
    for name, content in ACCEPTED.items():
        yield _case("accepted", name, content, "text")
    for name, (content, _answer) in REFUSED.items():
        yield _case("refused", name, content)


def _made() -> Iterator[Case]:
    chance = random.Random(3)
    names = sorted(SETTINGS)
    for number in range(60):
        elements = [_element(chance) for _ in range(chance.randint(1, 4))]
        kind = chance.choice(["generic", "list", "media", "open_graph", "receipt", "image_grid", "coupon", "tomorrow"])
        extra = {
            key: chance.choice(ADDRESSES) for key in ("order_url", "coupon_url", "image_url") if chance.random() < 0.3
        }
        content = body(template(kind, elements=elements, buttons=[_button(chance)], **extra))
        if chance.random() < 0.3:
            content = {"recipient": json.dumps(TO), "message": json.dumps(content["message"])}
        yield _case(
            "made", f"{number:02d} {kind}", content, names[number % len(names)], page_id=chance.choice(["7", "8"])
        )


def _element(chance: random.Random) -> dict[str, Any]:
    members: dict[str, Any] = {
        "title": chance.choice(["A", "Größe 5", ""]),
        "item_url": chance.choice(ADDRESSES),
        "image_url": chance.choice(ADDRESSES),
        "url": chance.choice(ADDRESSES),
        "default_action": {"type": "web_url", "url": chance.choice(ADDRESSES)},
        "images": [{"url": chance.choice(ADDRESSES), "action": {"type": "web_url", "url": chance.choice(ADDRESSES)}}],
    }
    kept = {name: value for name, value in members.items() if chance.random() < 0.6}
    return {**kept, "buttons": [_button(chance) for _ in range(chance.randint(0, 3))]}


def _button(chance: random.Random) -> dict[str, Any]:
    kind = chance.choice(["web_url", "web_url", "web_url", "postback", "account_link", "element_share", "hologram"])
    members: dict[str, Any] = {"type": kind, "url": chance.choice(ADDRESSES)}
    for name, values in (
        ("title", ["Go", "Ümlaut & <b>", None]),
        ("fallback_url", ADDRESSES),
        ("messenger_extensions", [True, False, "true"]),
        ("webview_share_button", ["hide", "show"]),
        ("payload", ["P", SHOP]),
    ):
        if chance.random() < 0.4:
            members[name] = chance.choice(list(values))
    return members


BUTTONS = [button(url="https://shop.example/?a=1&b=ü")]
CARDS = [{"title": "Shoes", "buttons": BUTTONS}]
QUICK = [{"content_type": "text", "title": "42", "payload": "SIZE_42"}]
MENU = [{"locale": "default", "call_to_actions": BUTTONS}]
FILE = {"$path": ["shoe.png", "pixels"]}

METHODS: list[tuple[str, list[Any]]] = [
    ("send_text_message", ["77", "hi"]),
    ("send_text_message", [77, "Grüße ❤"]),
    ("send_text_message", [{"$recipient": {"user_ref": "u"}}, "hi"]),
    ("send_text_message", [{"comment_id": "c1"}, "hi"]),
    ("send_text_message", ["77", "hi", "SILENT_PUSH"]),
    ("send_text_message", [{"$recipient": {}}, "hi"]),
    ("send_message", ["77", {"text": "hi"}]),
    ("send_message", [{"$recipient": {"token": "t"}}, {"attachment": {"type": "image", "payload": {"url": SHOP}}}]),
    ("send_generic_message", ["77", CARDS]),
    ("send_button_message", ["77", "What?", BUTTONS]),
    ("send_action", ["77", "typing_on"]),
    ("send_raw", [{"recipient": {"id": "77"}, "anything": [1]}]),
    ("send_raw", [{"recipient": '{"id": "77"}', "message": json.dumps(template(buttons=BUTTONS))}]),
    ("send_image_url", ["77", "https://a.example/m"]),
    ("send_image_url", [{"user_ref": "u"}, "https://a.example/m"]),
    ("send_audio_url", ["77", "https://a.example/m"]),
    ("send_video_url", ["77", "https://a.example/m"]),
    ("send_file_url", ["77", "https://a.example/m"]),
    ("send_attachment_url", ["77", "video", "https://a.example/v.mp4"]),
    ("send_recipient", ["77", {"message": {"text": "x"}}]),
    ("set_get_started", [{"get_started": {"payload": "GO"}}]),
    ("set_persistent_menu", [{"persistent_menu": MENU}]),
    ("remove_get_started", []),
    ("remove_persistent_menu", []),
    ("get_user_info", ["77"]),
    ("get_user_info", ["77", ["first_name", "locale"]]),
    ("send_quick_replies", ["77", "Size?", QUICK]),
    ("send_template", ["77", {"template_type": "product", "elements": [{"id": "1"}]}]),
    ("send_media_message", ["77", [{"media_type": "image", "attachment_id": "1", "buttons": BUTTONS}]]),
    ("send_receipt_message", ["77", {"order_number": "1", "order_url": SHOP}]),
    ("send_coupon_message", ["77", {"title": "10 %", "coupon_url": SHOP}]),
    ("send_saved_attachment", ["77", "image", "99"]),
    ("send_reaction", ["77", "m_1"]),
    ("remove_reaction", ["77", "m_1"]),
    ("send_batch", [[{"method": "POST", "relative_url": "me/messages", "body": "recipient=%7B%7D"}]]),
    (
        "send_batch",
        [
            [
                {
                    "method": "POST",
                    "relative_url": "me/messages",
                    "body": urlencode({"recipient": '{"id":"7"}', "message": json.dumps(template(buttons=BUTTONS))}),
                }
            ]
        ],
    ),
    ("send_image", ["77", FILE]),
    ("send_audio", ["77", {"$bytes": "sound"}]),
    ("send_video", ["77", {"$open": ["film.mp4", "frames"]}]),
    ("send_file", ["77", {"$path": ["ümlaut.pdf", "%PDF"]}]),
    ("send_file", ["77", {"$path": ["missing.pdf", None]}]),
    ("send_attachment", ["77", "file", {"$bytes": "base64:/wAB"}]),
    ("upload_attachment", ["image", FILE]),
    ("upload_attachment", ["video", "https://a.example/v.mp4"]),
    ("set_messenger_profile", [{"commands": [], "persistent_menu": MENU}]),
    ("get_messenger_profile", [["greeting", "commands"]]),
    ("get_messenger_profile", []),
    ("delete_messenger_profile", [["greeting"]]),
    ("set_user_menu", ["77", MENU]),
    ("get_user_menu", ["77"]),
    ("delete_user_menu", ["77"]),
    ("create_persona", ["Ann", "https://a.example/p.png"]),
    ("get_persona", ["9"]),
    ("list_personas", []),
    ("delete_persona", ["9"]),
    ("get_user_profile", ["77", ["name"]]),
    ("get_user_profile", ["../me/messages?x=1"]),
    ("pass_thread_control", ["77", "263902037430900", "why"]),
    ("take_thread_control", ["77"]),
    ("request_thread_control", ["77", "please"]),
    ("release_thread_control", ["77"]),
    ("extend_thread_control", ["77", 60]),
    ("get_thread_owner", ["77"]),
    ("call", ["GET", "me/subscribed_apps"]),
]

REPLIES: list[tuple[str, list[Any]]] = [
    ("text", ["hi"]),
    ("quick_replies", ["Size?", QUICK]),
    ("buttons", ["What?", BUTTONS]),
    ("generic", [CARDS]),
    ("media", [[{"media_type": "image", "url": "https://www.facebook.com/1", "buttons": BUTTONS}]]),
    ("template", [{"template_type": "coupon", "coupon_url": SHOP}]),
    ("image", ["https://a.example/m"]),
    ("image", [FILE]),
    ("audio", [{"$bytes": "sound"}]),
    ("video", ["https://a.example/m"]),
    ("file", [{"$open": ["a.txt", "text"]}]),
    ("attachment", ["file", "https://a.example/m"]),
    ("raw", [{"sticker_id": "1"}]),
    ("raw", [{"text": SHOP}]),
    ("typing", []),
    ("typing", [False]),
    ("seen", []),
]

OPTIONS: list[dict[str, Any]] = [
    {"messaging_type": "UPDATE"},
    {"tag": "HUMAN_AGENT"},
    {"tag": "X", "messaging_type": "RESPONSE"},
    {"persona_id": "9"},
    {"reply_to": "m_2"},
    {"reply_to": {"mid": "m_2"}},
    {"notification_type": "NO_PUSH"},
    {"quick_replies": QUICK},
    {"creative": "a", "greeting": True},
    {"persona": "9"},
    {"persona_id": None},
]

BOTS: list[dict[str, Any]] = [
    {"app_secret": "app-secret"},
    {"api_version": 19},
    {"api_version": "v3.3"},
    {"page_id": "P2"},
    {"channel": "instagram"},
    {"raise_errors": True},
]

EVENTS: list[dict[str, Any]] = [
    {
        "object": "page",
        "entry": [
            {
                "id": "P1",
                "messaging": [
                    {"sender": {"id": "77"}, "recipient": {"id": "P1"}, "message": {"mid": "m", "text": "x"}}
                ],
            }
        ],
    },
    {
        "object": "instagram",
        "entry": [
            {
                "id": "P1",
                "messaging": [{"sender": {"id": "78"}, "recipient": {"id": "P1"}, "postback": {"payload": "BUY"}}],
            }
        ],
    },
    {
        "object": "page",
        "entry": [
            {"id": "P1", "messaging": [{"recipient": {"id": "P1"}, "optin": {"ref": "cart", "user_ref": "ref-4711"}}]}
        ],
    },
    {
        "object": "page",
        "entry": [
            {"id": "P1", "messaging": [{"recipient": {"id": "P1"}, "policy_enforcement": {"action": "warning"}}]}
        ],
    },
]


def _error(code: int, subcode: int | None = None, status: int = 400) -> dict[str, Any]:
    error: dict[str, Any] = {"message": "no", "type": "OAuthException", "code": code, "fbtrace_id": "T"}
    content = {"error": error if subcode is None else {**error, "error_subcode": subcode}}
    return {"status": status, "headers": {"Content-Type": "application/json"}, "body": json.dumps(content)}


ANSWERS: dict[str, list[dict[str, Any]]] = {
    "window closed": [_error(10, 2018278)],
    "bad token": [_error(190)],
    "bad request": [_error(100, 2018001)],
    "rate": [_error(613)] * 9,
    "rate once": [_error(4)],
    "temporary": [_error(2, status=500)] * 9,
    "unknown": [_error(99999)],
    "server error": [{"status": 503, "body": "<html>"}] * 9,
    "not JSON": [{"body": "hello"}],
    "empty": [{"body": ""}],
    "redirect": [{"status": 302, "headers": {"Location": "https://a.example/"}}],
    "hang up": [{"hang_up": True}] * 9,
    "cut": [{"body": "{", "cut": 5}] * 9,
    "batch": [{"body": '[{"code":200,"body":"{}"},null]'}],
    "usage": [{"headers": {"X-App-Usage": '{"call_count":100,"total_time":1,"total_cputime":1}'}, "body": "{}"}],
    "error in a 200": [{**_error(551, 1545041), "status": 200}],
}


def call_cases() -> list[Case]:
    """Calls of a bot and answers of a handler."""
    found: list[Case] = []

    def add(group: str, name: str, **given: Any) -> None:
        found.append({"group": group, "name": f"{len(found):03d} {name}", "given": given})

    links = SETTINGS["params"]
    for method, arguments in METHODS:
        add("bot", method, on="bot", method=method, arguments=arguments)
        if method.startswith("send_") or "menu" in method:
            add("bot with links", method, on="bot", method=method, arguments=arguments, settings=links)
    for method, arguments in REPLIES:
        add("reply", method, on="reply", method=method, arguments=arguments, event=EVENTS[0], settings=links)
    for number, event in enumerate(EVENTS):
        for method, arguments in (("text", ["hi"]), ("buttons", ["?", BUTTONS]), ("seen", [])):
            about = {"arguments": arguments, "event": event, "settings": links}
            add("reply", f"{method} to event {number}", on="reply", method=method, **about)
    for options in OPTIONS:
        about = {"arguments": ["77", "hi"], "options": options}
        add("options", f"bot {json.dumps(options)}", on="bot", method="send_text_message", **about)
        add(
            "options",
            f"reply {json.dumps(options)}",
            on="reply",
            method="text",
            arguments=["hi"],
            event=EVENTS[0],
            options=options,
        )
    for options in ({"quick_replies": QUICK}, {"filename": "other.gif"}, {"creative": "a"}):
        add(
            "options",
            f"file {json.dumps(options)}",
            on="reply",
            method="image",
            arguments=[FILE],
            event=EVENTS[0],
            options=options,
        )
    for bot in BOTS:
        for method, arguments in (
            ("send_button_message", ["77", "?", BUTTONS]),
            ("get_messenger_profile", [["x"]]),
            ("upload_attachment", ["image", FILE]),
        ):
            add(
                "bots",
                f"{method} {json.dumps(bot)}",
                on="bot",
                method=method,
                arguments=arguments,
                bot=bot,
                settings=links,
            )
    for name, answers in ANSWERS.items():
        add("answers", f"bot {name}", on="bot", method="send_text_message", arguments=["77", "hi"], answers=answers)
        add("answers", f"get {name}", on="bot", method="get_user_info", arguments=["77"], answers=answers)
        add("answers", f"reply {name}", on="reply", method="text", arguments=["hi"], event=EVENTS[0], answers=answers)
    return found
