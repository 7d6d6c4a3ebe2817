"""`kochava-bot trace`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.store.records import Outcome, Settlement, Unit
from tests.cli.conftest import APP_ID, Run, write_settings
from tests.cli.stored import PRIVATE, fill, store_in


def middleware_in(folder: Path, **settings: Any) -> KochavaMiddleware:
    """A bot's middleware that keeps its records in the traced store."""
    return KochavaMiddleware.from_dict(
        {"kochava_app_id": APP_ID, "store": f"sqlite:///{folder / 'bot.db'}", "worker": "separate", **settings}
    )


async def test_trace_shows_one_person_by_time(run: Run, tmp_path: Path) -> None:
    """The webhook, the event and the dead ping, oldest first; no entries of others."""
    await fill(tmp_path)
    ran = await run("trace", "5", "--settings", write_settings(tmp_path))
    heads, *rows = ran.out.splitlines()
    assert (0, "recorded") == (ran.status, heads.split()[0])
    assert ["inbox/m_1", "ping1", "wait1"] == [row.split()[-1] for row in rows]
    assert "too old" in rows[1]


async def test_trace_shows_the_answer_to_a_dead_letter(run: Run, tmp_path: Path) -> None:
    """Reason and answer."""
    await fill(tmp_path)
    ran = await run("trace", "6", "--settings", write_settings(tmp_path))
    assert "rejected by Kochava" in ran.out
    assert "400 no such app" in ran.out


@pytest.mark.parametrize("more", [[], ["--json"]])
async def test_trace_shows_nothing_private(run: Run, tmp_path: Path, more: list[str]) -> None:
    """Neither texts, nor event data, nor the values of identities."""
    await fill(tmp_path)
    middleware = middleware_in(tmp_path, identity={"identities_in_events": ["customer_id"]})
    await middleware.start()
    await middleware.identify({"customer_id": "private-customer"}, user_id="5")
    await middleware.stop()
    ran = await run("trace", "5", *more, "--settings", write_settings(tmp_path))
    assert "customer_id" in ran.out
    for private in (PRIVATE, "47110815471108", "private-customer"):
        assert private not in ran.out


async def test_trace_shows_the_greeting_of_each_tracker(run: Run, tmp_path: Path) -> None:
    """With what it is known of it."""
    address = {"impression_url": "https://imp.example/i?campaign_id=k"}
    middleware = middleware_in(tmp_path, greeting={**address, "trackers": {"spring": address}})
    await middleware.start()
    for tracker in ("greeting", "spring"):
        body = {"recipient": {"id": "5"}, "message": {"text": "Welcome!"}}
        await middleware.send(body, accepted, tracker=tracker, creative=f"of-{tracker}")
    await middleware.stop()
    ran = await run("trace", "5", "--settings", write_settings(tmp_path))
    remembered = {line.split("  ")[0]: line for line in ran.out.splitlines() if line.startswith("greeting")}
    assert [f"greeting ({APP_ID})", f"greeting of spring ({APP_ID})"] == sorted(remembered)
    assert "creative of-spring" in remembered[f"greeting of spring ({APP_ID})"]


async def accepted(_body: object) -> dict[str, str]:
    """Facebook's answer."""
    return {"message_id": "m", "recipient_id": "5"}


async def test_trace_shows_what_is_remembered(run: Run, tmp_path: Path) -> None:
    """That there was a first record, and that the person opted out."""
    middleware = middleware_in(tmp_path)
    await middleware.start()
    await middleware.track("Purchase", user_id="5")
    await middleware.opt_out("5")
    await middleware.stop()
    ran = await run("trace", "5", "--json", "--settings", write_settings(tmp_path))
    shown = json.loads(ran.out)
    assert {
        "suppressed": {"because": "opted out"},
        f"first record ({APP_ID})": {"was": "seen"},
        f"sent ({APP_ID})": {"ids": ["fb_user_id"]},
    } == shown["marks"]
    assert ["event 'Purchase'"] == [entry["what"] for entry in shown["entries"]]


async def test_trace_finds_a_person_whose_id_is_sent_as_a_hash(run: Run, tmp_path: Path) -> None:
    """By the id that Facebook gives them."""
    hashing = {"privacy.user_id_hash": True, "privacy.user_id_hash_key": "k"}
    middleware = middleware_in(tmp_path, privacy={"user_id_hash": True, "user_id_hash_key": "k"})
    await middleware.start()
    await middleware.track("Purchase", user_id="5")
    await middleware.stop()
    ran = await run("trace", "5", "--settings", write_settings(tmp_path, **hashing))
    assert "event 'Purchase'" in ran.out


async def test_trace_finds_what_was_kept_before_ids_were_sent_as_hashes(run: Run, tmp_path: Path) -> None:
    """The opt-out still holds, so it is shown, too."""
    middleware = middleware_in(tmp_path)
    await middleware.start()
    await middleware.track("Purchase", user_id="5")
    await middleware.opt_out("5")
    await middleware.stop()
    hashing = {"privacy.user_id_hash": True, "privacy.user_id_hash_key": "k"}
    ran = await run("trace", "5", "--json", "--settings", write_settings(tmp_path, **hashing))
    shown = json.loads(ran.out)
    assert ["event 'Purchase'"] == [entry["what"] for entry in shown["entries"]]
    assert {"suppressed", f"first record ({APP_ID})", f"sent ({APP_ID})"} == set(shown["marks"])


@pytest.mark.parametrize("privacy", [{}, {"user_id_hash": True, "user_id_hash_key": "k"}])
async def test_trace_finds_a_person_who_is_known_by_a_device_id(
    run: Run, tmp_path: Path, privacy: dict[str, Any]
) -> None:
    """By its kind and value, whether other ids are sent as hashes or not."""
    middleware = middleware_in(tmp_path, privacy=privacy)
    await middleware.start()
    await middleware.track("Purchase", device_ids={"adid": "ab-12"})
    await middleware.opt_out(device_ids={"adid": "ab-12"})
    await middleware.stop()
    settings = write_settings(tmp_path, **{f"privacy.{name}": value for name, value in privacy.items()})
    shown = json.loads((await run("trace", "adid:ab-12", "--json", "--settings", settings)).out)
    assert ["event 'Purchase'"] == [entry["what"] for entry in shown["entries"]]
    assert {"suppressed", f"sent ({APP_ID})"} <= set(shown["marks"])


@pytest.mark.parametrize("privacy", [{}, {"user_id_hash": True, "user_id_hash_key": "k"}])
@pytest.mark.parametrize(
    ("person", "name"), [({"user_id": "5"}, "5"), ({"device_ids": {"adid": "ab-12"}}, "adid:ab-12")]
)
async def test_trace_of_a_forgotten_person_shows_no_record(
    run: Run, tmp_path: Path, privacy: dict[str, Any], person: dict[str, Any], name: str
) -> None:
    """Only that nothing more is recorded of them."""
    middleware = middleware_in(tmp_path, privacy=privacy)
    await middleware.start()
    await middleware.track("Purchase", **person)
    await middleware.forget(**person)
    await middleware.stop()
    settings = write_settings(tmp_path, **{f"privacy.{key}": value for key, value in privacy.items()})
    shown = json.loads((await run("trace", name, "--json", "--settings", settings)).out)
    assert ([], {"suppressed": {"because": "forgotten"}}) == (shown["entries"], shown["marks"])


async def test_trace_of_a_forgotten_person_shows_nothing_that_was_delivered(run: Run, tmp_path: Path) -> None:
    """Neither when nor with which answer."""
    middleware = middleware_in(tmp_path)
    await middleware.start()
    await middleware.track("Purchase", user_id="5")
    async with store_in(tmp_path) as store:
        (claim,) = await store.claim("track", 1, 60.0)
        await store.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DONE, detail="200 fine")]))
    settings = write_settings(tmp_path)
    assert "200 fine" in (await run("trace", "5", "--settings", settings)).out
    await middleware.forget("5")
    await middleware.stop()
    ran = await run("trace", "5", "--settings", settings)
    assert "no entries" in ran.out
    assert not any(word in ran.out for word in ("Purchase", "200 fine"))


async def test_trace_of_an_unknown_person(run: Run, tmp_path: Path) -> None:
    """It says that nothing is kept."""
    await fill(tmp_path)
    ran = await run("trace", "77", "--settings", write_settings(tmp_path))
    assert 0 == ran.status
    assert "nothing is kept of '77'" in ran.out


async def test_trace_without_a_store(run: Run, tmp_path: Path) -> None:
    """One line, and none is created."""
    ran = await run("trace", "5", "--settings", write_settings(tmp_path))
    assert (2, "", 1, False) == (ran.status, ran.out, len(ran.err.splitlines()), (tmp_path / "bot.db").exists())
