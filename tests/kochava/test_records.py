"""Records and their stored form."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.kochava.records import (
    SCHEMA,
    Click,
    Deletion,
    Engagement,
    IdentityLink,
    Impression,
    Install,
    Record,
    Session,
    UnknownRecord,
    UnreadableRecord,
    decode,
    encode,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TEXTS = st.dictionaries(TEXT, TEXT, max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
COMMON: dict[str, st.SearchStrategy[Any]] = {
    "id": TEXT,
    "app_id": TEXT,
    "user_id": TEXT,
    "page_id": st.none() | TEXT,
    "usertime": st.integers(0, 2**40),
}
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
RECORDS: st.SearchStrategy[Record] = st.one_of(
    st.builds(Engagement, **COMMON, event_name=TEXT, event_data=JSON, device_ids=TEXTS, extra=OBJECT),
    st.builds(Install, **COMMON, device_ids=TEXTS, extra=OBJECT),
    st.builds(IdentityLink, **COMMON, device_ids=TEXTS, identities=TEXTS, extra=OBJECT),
    st.builds(Impression, **COMMON, tracker=TEXT, params=TEXTS),
    st.builds(Click, **COMMON, tracker=TEXT, params=TEXTS),
    st.builds(Session, **COMMON, device_ids=TEXTS, extra=OBJECT),
    st.builds(
        Deletion, **COMMON, device_ids=TEXTS, former_ids=st.dictionaries(TEXT, st.lists(TEXT, max_size=3), max_size=3)
    ),
)
EVENT = Engagement(
    id="e1", app_id="koapp", user_id="u1", usertime=1, event_name="Purchase", device_ids={"fb_user_id": "u1"}
)


@given(RECORDS)
def test_stored_record_is_read_as_an_equal_one(record: Record) -> None:
    """For every kind and content."""
    assert record == decode(encode(record))


@given(RECORDS, st.data())
def test_mutated_bytes_give_a_record_or_a_typed_error(record: Record, data: st.DataObject) -> None:
    """Never another exception, and never a record that cannot be sent."""
    body = bytearray(encode(record))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode(bytes(body))
    except (UnreadableRecord, UnknownRecord):
        return
    assert found == decode(encode(found))


@given(JSON)
def test_any_json_gives_a_record_or_a_typed_error(value: Any) -> None:
    """Also data that another program wrote into the store."""
    with pytest.raises((UnreadableRecord, UnknownRecord)):
        decode(orjson.dumps(value))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("id", 1),
        ("app_id", None),
        ("user_id", ["u1"]),
        ("page_id", 7),
        ("usertime", "1"),
        ("usertime", True),
        ("usertime", 1.5),
        ("event_name", {}),
        ("device_ids", {"fb_user_id": 1}),
        ("device_ids", []),
        ("extra", None),
        ("kind", ["engagement"]),
        ("kind", None),
        ("schema", True),
        ("schema", 0),
        ("schema", "1"),
        ("surprise", "value"),
    ],
)
def test_member_of_the_wrong_type_is_corrupt(member: str, value: Any) -> None:
    """It is found when reading; the message does not show the value."""
    stored = {**orjson.loads(encode(EVENT)), member: value}
    with pytest.raises(UnreadableRecord) as caught:
        decode(orjson.dumps(stored))
    assert "u1" not in str(caught.value)


@pytest.mark.parametrize("former_ids", [{"customer_id": "C-17"}, {"customer_id": [17]}, [], None])
def test_former_ids_of_the_wrong_type_are_corrupt(former_ids: Any) -> None:
    """They are lists of texts by name."""
    deletion = Deletion(id="d1", app_id="koapp", user_id="u1", usertime=1, device_ids={"fb_user_id": "u1"})
    with pytest.raises(UnreadableRecord):
        decode(orjson.dumps({**orjson.loads(encode(deletion)), "former_ids": former_ids}))


def test_missing_member_is_corrupt() -> None:
    """The row may have been truncated."""
    stored = orjson.loads(encode(EVENT))
    del stored["device_ids"]
    with pytest.raises(UnreadableRecord):
        decode(orjson.dumps(stored))


@pytest.mark.parametrize("change", [{"schema": SCHEMA + 1}, {"kind": "hologram"}])
def test_record_of_a_newer_release_is_unknown_not_corrupt(change: dict[str, Any]) -> None:
    """Another worker can send it."""
    with pytest.raises(UnknownRecord, match="upgrade"):
        decode(orjson.dumps({**orjson.loads(encode(EVENT)), **change}))


def test_lane_is_the_app_and_the_user() -> None:
    """Order is kept for one user of one Kochava app."""
    assert "koapp/u1" == EVENT.lane
    assert ("track", "ping") == (Engagement.queue, Impression.queue)


def test_identity_link_of_schema_1_is_read() -> None:
    """Records that waited during an upgrade are sent."""
    stored = {
        "kind": "identity_link",
        "schema": 1,
        "id": "i1",
        "app_id": "koapp",
        "user_id": "u1",
        "page_id": None,
        "usertime": 1,
        "device_ids": {"fb_user_id": "u1"},
        "identities": {"customer_id": "7"},
    }
    expected = IdentityLink(
        id="i1",
        app_id="koapp",
        user_id="u1",
        usertime=1,
        device_ids={"fb_user_id": "u1"},
        identities={"customer_id": "7"},
    )
    assert expected == decode(orjson.dumps(stored))


def test_half_a_character_is_stored_as_a_question_mark() -> None:
    """Wherever it is in the record, which would be lost otherwise."""
    record = Impression(
        id="1", app_id="a", user_id="u", page_id="p\udc00", usertime=1, params={"creative_id": "Caf\ud83d"}
    )
    read = decode(encode(record))
    assert isinstance(read, Impression)
    assert ("p?", {"creative_id": "Caf?"}) == (read.page_id, read.params)
