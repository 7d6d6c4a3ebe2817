"""Webhook bodies to record: every kind of event in every envelope, and seeded mutations of them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

from tests.strategies import INSTAGRAM_ID, ITEMS, PAGE_ID, PERSON_ID, SENT_AT, item, webhook

from .files import text_of
from .seams import facebook_json, webhooks_of_people

Body = tuple[str, str, bytes]
"""Group, name and body."""

ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    1.5,
    2**63,
    2**64 - 1,
    1e300,
    "",
    " ",
    "0",
    "x",
    "Grüße ❤ \u200d",
    "true",
    "17",
    [],
    {},
    [[]],
    [None],
    {"id": None},
    {"id": 7},
    {"": ""},
    ["a", 1, {}],
    {"payload": {"url": "https://a.example/"}},
)
"""What stands where something else belongs."""


async def webhook_bodies() -> list[Body]:
    """All bodies, in a fixed order."""
    return [
        *_kinds(),
        *_changes(),
        *_batches(),
        *_entries(),
        *_envelopes(),
        *_pairs(),
        *_refusals(),
        *_texts(),
        *_values(),
        *_mutations(),
        *[("people", f"{number:02d}", raw) for number, raw in enumerate(await webhooks_of_people())],
    ]


def body_text(body: bytes) -> str:
    """A body as it is stored."""
    return text_of(body)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _kinds() -> Iterator[Body]:
    for name, value in ITEMS.items():
        under = "changes" if "field" in value else "messaging"
        yield "page", name, _json(webhook(value, under=under))
        yield "instagram", name, facebook_json(webhook(value, under=under, about="instagram", page_id=INSTAGRAM_ID))
        yield "standby", name, _json(webhook(value, under="standby"))
        yield "no_page", name, _json(webhook(value, under=under, page_id="0"))


def _changes() -> Iterator[Body]:
    fields = ["messages", "messaging_postbacks", "standby", "message_edit", "feed", "message_reads", "calls", None]
    for number, (name, value) in enumerate(ITEMS.items()):
        change = {"field": fields[number % len(fields)], "value": value}
        yield "changes", f"{name} as {change['field']}", _json(webhook(change, under="changes"))
    odd: tuple[Any, ...] = (None, 5, "hello", [], {}, {"page_id": "42"}, {"created_time": SENT_AT // 1000})
    for given in odd:
        for field in ("messages", "feed", "inbox_labels"):
            change = {"field": field, "value": given}
            yield "changes", f"{field} of {json.dumps(given)}", _json(webhook(change, under="changes", page_id="0"))


def _batches() -> Iterator[Body]:
    chance = random.Random(1)
    for number in range(45):
        entries = []
        for _ in range(chance.randint(1, 4)):
            members: dict[str, Any] = {"id": chance.choice([PAGE_ID, int(PAGE_ID), INSTAGRAM_ID, "2002"])}
            members["time"] = SENT_AT
            for under in chance.sample(["messaging", "standby", "changes", "messaging:"], chance.randint(1, 3)):
                members[under] = [
                    copy.deepcopy(chance.choice(list(ITEMS.values()))) for _ in range(chance.randint(0, 4))
                ]
            if chance.random() < 0.3:
                members["hop_context"] = chance.choice([{"app_id": 26, "metadata": "a"}, [{"app_id": "27"}], None, 5])
            entries.append(members)
        about = chance.choice(["page", "instagram"])
        yield "batches", f"{number:02d}", _json({"object": about, "entry": entries})


def _entry(**members: Any) -> bytes:
    return _json({"object": "page", "entry": [{"id": PAGE_ID, "time": SENT_AT, **members}]})


def _entries() -> Iterator[Body]:
    call = {"id": "c_1", "timestamp": SENT_AT // 1000, "from": PERSON_ID, "to": PAGE_ID}
    outward = {"id": "c_2", "from": PAGE_ID, "to": PERSON_ID, "call_direction": "business_initiated"}
    paid = {"recipient_id": PERSON_ID, "page_id": PAGE_ID, "timestamp": SENT_AT // 1000, "mid": "m_offer"}
    found: dict[str, dict[str, Any]] = {
        "call": {"calls": [call]},
        "call of the page": {"calls": [outward]},
        "calls": {"calls": [call, {"id": "c_3"}], "messaging": [ITEMS["message"]]},
        "call settings": {"call_settings": {"audio_enabled": True}},
        "call permission": {**item(call_permission_reply={"response": "approve"})},
        "item": {**ITEMS["message"]},
        "item with hops": {**ITEMS["message"], "hop_context": {"app_id": 1}},
        "item without sender": {**ITEMS["policy_enforcement"]},
        "items under their field": {"messaging_handovers": [ITEMS["pass_thread_control"], ITEMS["message"]]},
        "change": {"field": "comments", "value": {"id": "17", "text": "Nice!", "from": {"id": "5"}}},
        "change without value": {"field": "marketing_message_reads", **paid},
        "changed fields": {"changed_fields": ["feed", "picture", 5]},
        "paid": {"changes": [{"field": "marketing_message_clicks", **paid}]},
        "hop": {"messaging": [ITEMS["message"], ITEMS["read"]], "hop_context": {"app_id": 2262, "metadata": "lead"}},
        "hops": {"messaging": [{**ITEMS["message"], "hop_context": {"app_id": 1}}], "hop_context": [{"app_id": 2}]},
        "object for a list": {"messaging": ITEMS["message"]},
        "text for a list": {"messaging": "hello"},
        "nothing": {},
    }
    for name, members in found.items():
        yield "entries", name, _entry(**members)
    for number, odd in enumerate(ODD):
        yield "entries", f"odd member {number:02d}", _entry(tomorrow=odd)


def _envelopes() -> Iterator[Body]:
    one, two = webhook(ITEMS["message"]), webhook(ITEMS["postback"], about="instagram")
    yield "envelopes", "list of one", _json([one])
    yield "envelopes", "list of two", _json([one, two])
    yield "envelopes", "with a byte order mark", b"\xef\xbb\xbf" + _json(one)
    yield "envelopes", "with white space", b" \n\t" + _json(one) + b"\r\n "
    yield "envelopes", "no entries", _json({"object": "page", "entry": []})
    yield "envelopes", "further members", _json({**one, "version": 3})
    yield "envelopes", "member twice", _json(one)[:-1] + b', "object": "instagram"}'
    for number, odd in enumerate(ODD):
        yield "envelopes", f"odd item {number:02d}", _json(webhook(odd, ITEMS["read"]))
        yield "envelopes", f"odd change {number:02d}", _json(webhook(odd, ITEMS["change"], under="changes"))
        yield "envelopes", f"odd entry {number:02d}", _json({"object": "page", "entry": [odd, *one["entry"]]})
    people = [{"id": PAGE_ID}, {"id": PERSON_ID}, {"id": "3"}, {"user_ref": "ref-1"}, {}, None, {"id": 5}]
    for first, sender in enumerate(people):
        second = (first * 3 + 1) % len(people)
        value = {"sender": sender, "recipient": people[second], "message": {"mid": "m", "is_echo": first % 2 == 0}}
        yield "envelopes", f"parties {first}-{second}", _json(webhook(value, page_id=[PAGE_ID, "3", "0"][first % 3]))


def _pairs() -> Iterator[Body]:
    """Items with the members of two kinds, and members that seldom stand together."""
    names = [name for name, value in ITEMS.items() if "field" not in value]
    for number, name in enumerate(names):
        other = names[(number * 7 + 3) % len(names)]
        yield "pairs", f"{name} and {other}", _json(webhook({**ITEMS[other], **ITEMS[name]}))
    outward = {"sender": {"id": PAGE_ID}, "recipient": {"id": PERSON_ID}}
    found: dict[str, dict[str, Any]] = {
        "optin of both names": item(optin={"ref": "a", "user_ref": "ref-1"}),
        "message of the Page, not marked": {**outward, "message": {"mid": "m", "text": "x"}},
        "deleted by the Page": {**outward, "message": {"mid": "m", "is_deleted": True}},
        "edit of the Page": {**outward, "message_edit": {"mid": "m", "num_edit": 1}},
        "read of the Page": {**outward, "read": {"mid": "m"}},
        "first message after a plugin": item(
            message={"mid": "m", "text": "x"}, prior_message={"source": "checkbox_plugin", "identifier": "ref-1"}
        ),
        "policy with a dash": item(**{"policy-enforcement": {"action": "block", "reason": "x"}}),
        "policy of the Page": {**outward, "policy_enforcement": {"action": "block"}},
        "postback with two referrals": item(postback={"payload": "P", "referral": {"ref": "a"}}, referral={"ref": "b"}),
        "referral with leads": item(referral={"ref": "a"}, lead={"data": [{"question": "?"}, 5, {"answer": "x"}]}),
        "user_ref as sender": {"sender": {"user_ref": "ref-1"}, "recipient": {"id": PAGE_ID}, "postback": {}},
        "sender of both names": {"sender": {"id": "5", "user_ref": "r"}, "recipient": {"id": PAGE_ID}, "postback": {}},
        "message request": item(message_request="decline"),
    }
    for name, value in found.items():
        for about in ("page", "instagram"):
            yield "pairs", f"{name}, {about}", _json(webhook(value, about=about))


def _refusals() -> Iterator[Body]:
    good = webhook(ITEMS["message"])
    found: dict[str, bytes] = {
        "empty": b"",
        "white space": b"  ",
        "text": b"hello",
        "cut": _json(good)[:-3],
        "two": _json(good) * 2,
        "latin-1": '{"object":"page","entry":["ü"]}'.encode("latin-1"),
        "utf-16": json.dumps(good).encode("utf-16"),
        "null": b"null",
        "number": b"5",
        "string": b'"page"',
        "list": b"[]",
        "list of null": b"[null]",
        "form": b"object=page&entry=1",
        "nan": b'{"object":"page","entry":[NaN]}',
        "object user": b'{"object":"user","entry":[]}',
        "object null": b'{"object":null,"entry":[]}',
        "object list": b'{"object":["page"],"entry":[]}',
        "object missing": b'{"entry":[]}',
        "entry missing": b'{"object":"page"}',
        "entry null": b'{"object":"page","entry":null}',
        "entry object": b'{"object":"page","entry":{}}',
        "capitals": b'{"object":"PAGE","entry":[]}',
        "list with a stranger": _json([good, {"object": "user", "entry": []}]),
        "deep": b"[" * 2000 + b"]" * 2000,
        "deep item": b'{"object":"page","entry":[{"id":"1","messaging":[{"x":'
        + b'{"a":' * 300
        + b"1"
        + b"}" * 300
        + b"}]}]}",
        "infinity": b'{"object":"page","entry":[{"id":1e999}]}',
        "comment": _json(good) + b" // end",
    }
    for name, body in found.items():
        yield "refusals", name, body


def _texts() -> Iterator[Body]:
    texts = [
        "Grüße aus Köln",
        "日本語のメッセージ",
        "مرحبا بالعالم",
        "👩‍👩‍👧‍👦 family",
        "e\u0301 combining",
        "\u202eright to left",
        "nul \x00 inside",
        "line\nbreak\ttab",
        "\ufeffmark",
        '"quotes" \\ and /',
        "<b>&amp;</b>",
        "\U0001f600" * 50,
        "x" * 3000,
        "\u2028 separator",
        "%C3%BC",
        "\x7f\x80",
    ]
    for number, text in enumerate(texts):
        message = item(message={"mid": f"m_{text[:3]}", "text": text, "quick_reply": {"payload": text}})
        postback = item(postback={"title": text, "payload": text, "referral": {"ref": text}})
        yield "texts", f"message {number:02d}", _json(webhook(message))
        yield "texts", f"postback {number:02d} as Facebook writes it", facebook_json(webhook(postback))
    half = webhook(item(message={"mid": "m", "text": "cut \ud83d"}))
    yield "texts", "half a surrogate pair", json.dumps(half).encode()
    yield "texts", "half a pair as an id", json.dumps(webhook(item(message={"mid": "\udc00"}))).encode()


def _values() -> Iterator[Body]:
    for number, odd in enumerate(ODD):
        yield "values", f"timestamp {number:02d}", _json(webhook(item(timestamp=odd, read={"watermark": odd})))
        yield "values", f"sender {number:02d}", _json(webhook({**ITEMS["message"], "sender": odd}))
        yield "values", f"message {number:02d}", _json(webhook(item(message=odd)))
    times = [999_999_999_999, 10**12, 4_102_444_799_999, "1767225600", 1_767_225_600.25, 253_402_300_799_000, -5]
    for time in times:
        yield (
            "values",
            f"time {time}",
            _json(webhook(item(timestamp=time, delivery={"mids": ["m"], "watermark": time}))),
        )
    attachments: list[Any] = [
        [{"type": "image", "payload": {"url": "https://a.example/1"}}] * 2,
        [{"type": "share", "payload": {"url": "https://a.example/1"}}, {"type": "ig_post", "payload": {"url": "x"}}],
        [{"type": "story_mention", "payload": {"url": "https://a.example/story"}}],
        [{"type": "fallback", "payload": "https://a.example/"}, {"type": "file", "URL": "https://a.example/f"}],
        [{"type": "location", "payload": {"coordinates": {"lat": lat, "long": 11}}} for lat in (48, "48.1", 400, True)],
        [{"type": "ig_reel", "payload": {"reel_video_id": 5, "title": "Reel", "url": "https://a.example/r"}}],
        {"type": "image"},
        "image",
        [None, 5, {}],
    ]
    for number, value in enumerate(attachments):
        yield "values", f"attachments {number:02d}", _json(webhook(item(message={"mid": "m", "attachments": value})))
    messages: list[dict[str, Any]] = [
        {"reply_to": {"mid": "m_0"}},
        {"reply_to": {"story": {"id": 5, "url": "https://a.example/s"}}},
        {"reply_to": {"mid": 5, "is_self_reply": True}},
        {"reply_to": "m_0"},
        {"commands": [{"name": "help"}, {}, 5]},
        {"nlp": {"intents": []}},
        {"tags": {"source": "customer_chat_plugin"}},
        {"tags": [{"source": "a"}]},
        {"referral": {"product": {"id": 7}}},
        {"referral": {"ref": "a"}},
        {"is_deleted": True, "is_echo": True},
        {"is_unsupported": True, "is_echo": True},
        {"sticker_id": "5"},
        {"quick_reply": {}},
        {"quick_reply": {"payload": 5}},
        {"is_deleted": "true"},
        {"is_echo": 1},
        {"mid": 5},
        {"text": 5},
        {"text": ["a"]},
    ]
    for number, members in enumerate(messages):
        yield (
            "values",
            f"message members {number:02d}",
            _json(webhook(item(message={"mid": "m", "text": "x", **members}))),
        )


def _mutations() -> Iterator[Body]:
    chance = random.Random(2)
    names = sorted(ITEMS)
    for number in range(240):
        name = names[number % len(names)]
        value = copy.deepcopy(ITEMS[name])
        for _ in range(chance.randint(1, 3)):
            _bend(value, chance)
        under = chance.choice(["messaging", "messaging", "standby", "changes"])
        body = webhook(value, ITEMS["read"], under=under, about=chance.choice(["page", "instagram"]))
        if chance.random() < 0.25:
            _bend(body, chance)
        yield "mutations", f"{number:03d} {name}", _json(body)


def _bend(value: Any, chance: random.Random) -> None:
    """Replace, remove, repeat or rename one member somewhere inside of *value*."""
    place = value
    while True:
        if not isinstance(place, (dict, list)) or not place:
            return
        key: Any = chance.choice(sorted(place)) if isinstance(place, dict) else chance.randrange(len(place))
        if isinstance(place[key], (dict, list)) and place[key] and chance.random() < 0.7:
            place = place[key]
            continue
        break
    match chance.randrange(4):
        case 0:
            del place[key]
        case 1 if isinstance(place, list):
            place.append(copy.deepcopy(place[key]))
        case 2 if isinstance(place, dict):
            place[chance.choice(sorted(ITEMS))] = place.pop(key)
        case _:
            place[key] = copy.deepcopy(chance.choice(ODD))
