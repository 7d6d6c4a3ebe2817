"""Records to tell Kochava of, and answers to judge."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from .files import Case
from .seams import sample_record

KINDS = ("engagement", "install", "identity_link", "impression", "click", "deletion")

GREETING = {
    "impression_url": "https://imp.kochava.test/track/impression?campaign_id=kogreet&network_id=1",
    "click_url": "https://control.kochava.test/v1/cpi/click?campaign_id=kogreet&network_id=1&device_id=device_id",
}
DELETION = {"deletion_url": "https://nng.kochava.test/accounts/1/apps/2/privacy/scrub", "deletion_key": "del-key"}
KEYS = {"api_key": "test-api-key", "api_secret": "test-secret"}

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"wire": DELETION},
    "keys": {"wire": {**DELETION, **KEYS}},
    "s2s": {"wire": {**DELETION, "profile": "s2s"}},
    "s2s with keys": {"wire": {**DELETION, **KEYS, "profile": "s2s", "sign_identity_links": True}},
    "action": {"wire": {**DELETION, **KEYS, "identity_form": "action"}},
    "own addresses": {
        "wire": {
            **DELETION,
            "base_url": "http://a.test:1/",
            "user_agent": "Acme/1",
            "deletion_id_types": {"fb_user_id": "custom"},
        }
    },
    "event address": {"wire": {**DELETION, "event_url": "https://b.test/x/track/json?y=1"}},
    "event address, standard": {"wire": {"event_url": "https://b.test/x/track/json", "identity_form": "off"}},
    "identity address": {"wire": {"identity_url": "https://c.test/i?a=%20b"}},
    "several": {
        "wire": DELETION,
        "pages": {
            "p1": {"kochava_app_id": "koone", "greeting": {"impression_url": "https://i.test/one?a={click_id}"}},
            "p2": {"wire": {**KEYS, "base_url": "https://two.test"}},
        },
    },
    "no greeting": {"greeting": {}},
    "trackers": {
        "greeting": {
            **GREETING,
            "trackers": {"summer": {"impression_url": "https://s.test/i?x=$X$", "click_url": "https://s.test/c"}},
        }
    },
}

EXTRAS: list[dict[str, Any]] = [
    {"app_version": "1.2", "origination_ip": "203.0.113.7", "device_ua": "Mozilla/5.0 (X11) ü"},
    {"kochava_device_id": "bot-1", "nt_id": "n1", "device_ver": "9"},
    {"usertime": 5, "event_name": "Other", "device_ids": {}, "consent": {"required": True}},
    {"currency": "EUR"},
]

DATA: list[Any] = [
    None,
    {},
    [],
    5,
    1.5,
    "text",
    True,
    {"currency": "USD", "sum": 100},
    {"currency": "USD", "price": 9.99, "sum": 1},
    {"price": "9.99", "currency": "EUR", "name": "Schuh ❤ / é"},
    {"sum": 2**53, "nested": {"a": [1, None]}},
    {"uri": "https://a.example/é?x=</script>"},
]


def request_cases() -> list[Case]:
    """Records, each with the settings of who sends it."""
    return [*_kinds(), *_data(), *_identities(), *_pings(), *_several(), *_stored()]


def _case(group: str, name: str, record: Any, **settings: Any) -> Case:
    return {"group": group, "name": name, "given": {"record": record, "settings": {"greeting": GREETING, **settings}}}


def _kinds() -> Iterator[Case]:
    for name, settings in SETTINGS.items():
        for kind in KINDS:
            yield _case("kinds", f"{kind}, {name}", sample_record(kind), **settings)


def _data() -> Iterator[Case]:
    wires = itertools.cycle(
        [
            {"currency_place": "data"},
            {"currency_place": "both", **KEYS},
            {"revenue_key": "price"},
            {"revenue_key": "both"},
            {"revenue_key": "sum", **KEYS},
        ]
    )
    for number, data in enumerate(DATA):
        record = sample_record(
            "engagement", event_data=data, event_name=["Purchase", "Test Purchase", "Größe"][number % 3]
        )
        yield _case("data", f"{number:02d} as given", record, wire={"device_ua_encoding": "percent"})
        yield _case("data", f"{number:02d} placed", record, wire=next(wires))
    for number, extra in enumerate(EXTRAS):
        for kind in ("engagement", "install"):
            for profile in ("bot", "s2s"):
                wire = {"profile": profile, "device_ua_encoding": "percent" if number else "raw"}
                yield _case("extra", f"{kind} {number} {profile}", sample_record(kind, extra=extra), wire=wire)


def _identities() -> Iterator[Case]:
    ids: list[dict[str, str]] = [{}, {"ig_user_id": "u1"}, {"fb_user_id": "u1", "custom": "ü / 1"}]
    for number, device_ids in enumerate(ids):
        for kind in ("engagement", "install", "identity_link", "deletion"):
            wire = {**DELETION, **KEYS, "sign_identity_links": True, "deletion_id_types": {"ig_user_id": "igid"}}
            yield _case("device ids", f"{kind} {number}", sample_record(kind, device_ids=device_ids), wire=wire)
    link = sample_record(
        "identity_link", identities={"email": "a@b.example", "id": ""}, extra={"nt_id": "n", "other": "x"}
    )
    for form in ("php", "action", "off"):
        yield _case("device ids", f"identities, {form}", link, wire={"identity_form": form})


def _pings() -> Iterator[Case]:
    params: list[dict[str, str]] = [
        {},
        {"device_id": "u1", "click_id": "a/b ü"},
        {"campaign_id": "mine", "network_id": "2"},
    ]
    urls = [
        "https://t.test/c?campaign_id=k&device_id=device_id&click_id={click_id}&x=",
        "https://t.test/c",
        "https://t.test/c?#frag",
        "https://t.test/ü c?a=$CLICK_ID$&b=__B__&c=%%C%%&d=[d]&e=<e>&click_id",
    ]
    for (at, url), (number, each) in itertools.product(enumerate(urls), enumerate(params)):
        kind = ("impression", "click")[(at + number) % 2]
        yield _case("pings", f"{kind} {at}{number}", sample_record(kind, params=each), greeting={f"{kind}_url": url})
    for kind in ("impression", "click"):
        for tracker in ("summer", "unknown"):
            yield _case("pings", f"{kind} of {tracker}", sample_record(kind, tracker=tracker), **SETTINGS["trackers"])


def _several() -> Iterator[Case]:
    for app_id, page_id, kind in itertools.product(("koapp", "koone", "koother"), ("p1", "p2", None), KINDS[:4]):
        record = sample_record(kind, app_id=app_id, page_id=page_id)
        yield _case("several apps", f"{kind} of {app_id}, Page {page_id}", record, **SETTINGS["several"])


def _stored() -> Iterator[Case]:
    old = sample_record("identity_link", schema=1)
    del old["extra"]
    records: dict[str, Any] = {
        "schema 1": old,
        "schema 4": sample_record("install", schema=4),
        "unknown kind": sample_record("tomorrow"),
        "schema 0": sample_record("install", schema=0),
        "schema as text": sample_record("install", schema="2"),
        "no kind": {"schema": 2},
        "not JSON": {"$bytes": "{"},
        "list": {"$bytes": "[]"},
        "bytes": {"$bytes": "base64:/w=="},
        "usertime as text": sample_record("install", usertime="1"),
        "ids of numbers": sample_record("install", device_ids={"a": 1}),
        "extra as list": sample_record("install", extra=[]),
        "stranger": sample_record("install", colour="red"),
        "missing member": {"kind": "install", "schema": 2, "id": "e"},
        "page of a number": sample_record("click", page_id=5),
    }
    for name, record in records.items():
        yield _case("stored", name, record)


STATUSES = (
    200,
    201,
    202,
    204,
    301,
    302,
    304,
    400,
    401,
    403,
    404,
    405,
    408,
    413,
    418,
    422,
    425,
    429,
    500,
    502,
    503,
    599,
)

BODIES = (
    '{"success":"1"}',
    '{"success":1}',
    '{"success":true}',
    "{}",
    "",
    "OK",
    "<html>",
    "[1]",
    '{"success":false}',
    '{"success":0}',
    '{"success":"0"}',
    '{"success":" False "}',
    '{"success":"error","error":"x"}',
    '{"success":null}',
    '{"success":0.0}',
    '{"success":"0","error":"' + "x" * 600 + '"}',
    '{"success":"maybe"}',
    '{"success" : "failure" ',
    "y" * 70_000,
    "bad key test-api-key ü",
)

RETRY_AFTER = (
    "120",
    "1.5",
    "-5",
    "soon",
    "nan",
    "inf",
    "99999999999",
    "Fri, 15 Jan 2027 08:01:00 GMT",
    "Fri, 15 Jan 2027 07:00:00 GMT",
    "",
)

FAILURES: dict[str, dict[str, Any]] = {
    "hangs up": {"hang_up": True},
    "no answer": {"hang": True},
    "refused": {"address": "http://127.0.0.1:1/"},
    "cut": {"body": '{"succ', "cut": 20},
    "cut after a rejection": {"body": '{"success":"0"', "cut": 20},
    "cut when empty": {"cut": 9},
    "cut behind the start": {"body": "z" * 600, "cut": 9},
    "no HTTP": {"status": "x"},
}


def verdict_cases() -> list[Case]:
    """Answers, each to a kind of record."""
    found: list[Case] = []

    def add(group: str, name: str, kind: str, answer: Any, **wire: Any) -> None:
        given = {"kind": kind, "answer": answer, "wire": wire}
        found.append(
            {"group": group, "name": f"{name} to {kind}{f', {json.dumps(wire)}' if wire else ''}", "given": given}
        )

    for status in STATUSES:
        for kind in ("engagement", "identity_link", "click"):
            add("statuses", str(status), kind, {"status": status})
        add(
            "statuses",
            str(status),
            "engagement",
            {"status": status, "body": '{"success":"0"}'},
            success="status",
            unknown_answer="dead",
        )
        add("statuses", str(status), "impression", {"status": status, "body": '{"success":"0"}'}, ping_success="2xx")
    for status in (401, 403):
        for kind in ("install", "deletion"):
            add("credentials", str(status), kind, {"status": status, "body": "key"}, **KEYS)
        add("credentials", str(status), "identity_link", {"status": status}, **KEYS)
        add("credentials", str(status), "identity_link", {"status": status}, **KEYS, sign_identity_links=True)
        add("credentials", str(status), "identity_link", {"status": status}, identity_form="action")
        add("credentials", str(status), "identity_link", {"status": status}, identity_form="off")
    for number, body in enumerate(BODIES):
        add("bodies", f"200 body {number:02d}", "engagement", {"body": body}, **KEYS)
        add("bodies", f"400 body {number:02d}", "install", {"status": 400, "body": body}, **KEYS)
    for header in RETRY_AFTER:
        for status in (429, 503, 400):
            add(
                "retry after",
                f"{status} {header!r}",
                "engagement",
                {"status": status, "headers": {"Retry-After": header}},
            )
    for name, answer in FAILURES.items():
        for kind in ("engagement", "impression"):
            if "address" not in answer or kind == "engagement":
                add("failures", name, kind, answer)
    return found
