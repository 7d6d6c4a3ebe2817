"""`kochava-bot send-test`, against a strict local Kochava."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kochava_bot_middleware.testing import KochavaCredentials, KochavaOptions, LocalKochava
from tests.cli.conftest import APP_ID, Run, write_settings
from tests.proxy_server import ProxyServer


def settings_for(folder: Path, kochava: LocalKochava, **more: Any) -> Path:
    """Settings whose every address is *kochava*'s."""
    trackers = "campaign_id=kogreet&network_id=1"
    addresses = {
        "wire.event_url": f"{kochava.url}/track/json",
        "wire.identity_url": f"{kochava.url}/v1/cpi/identityLink.php",
        "wire.deletion_url": f"{kochava.url}/accounts/1/apps/2/privacy/scrub",
        "wire.deletion_key": "deletion-key",
        "greeting.impression_url": f"{kochava.url}/track/impression?{trackers}",
        "greeting.click_url": f"{kochava.url}/v1/cpi/click?{trackers}",
    }
    return write_settings(folder, **{**addresses, **more})


async def test_send_test_sends_test_events_only(run: Run, tmp_path: Path) -> None:
    """Of the test user, with names that mark them as tests; without the store."""
    async with LocalKochava(app_ids=[APP_ID]) as kochava:
        ran = await run("send-test", "--settings", settings_for(tmp_path, kochava))
        assert [] == kochava.rejections
        assert ["Test Message", "Test Purchase"] == [record.name for record in kochava.records]
        assert [{"fb_user_id": "kochava-bot-test"}] * 2 == [dict(record.device_ids) for record in kochava.records]
    assert (0, 2) == (ran.status, ran.out.count("  delivered  "))
    assert not (tmp_path / "bot.db").exists()


async def test_send_test_sends_each_kind_that_is_named(run: Run, tmp_path: Path) -> None:
    """In the order in which Kochava accepts them, and it accepts all."""
    async with LocalKochava(app_ids=[APP_ID]) as kochava:
        kinds = "deletion,click,impression,identity,event,session,install"
        ran = await run("send-test", "--kinds", kinds, "--settings", settings_for(tmp_path, kochava))
        assert [] == kochava.rejections
        sent = [record.kind.value for record in kochava.records]
    expected = ["install", "session", "event", "event", "identityLink", "impression", "click", "scrub"]
    assert (0, [kind.lower() for kind in expected]) == (ran.status, [kind.replace("_", "").lower() for kind in sent])


async def test_send_test_sends_the_pings_of_each_tracker(run: Run, tmp_path: Path) -> None:
    """Each to its own address."""
    async with LocalKochava(app_ids=[APP_ID]) as kochava:
        address = f"{kochava.url}/track/impression?campaign_id=kospring&network_id=1"
        settings = settings_for(tmp_path, kochava, **{"greeting.trackers.spring.impression_url": address})
        ran = await run("send-test", "--kinds", "impression", "--settings", settings)
        assert ["kogreet", "kospring"] == [record.params["campaign_id"] for record in kochava.impressions]
    assert (0, 1) == (ran.status, ran.out.count("impression of spring"))


async def test_send_test_prints_the_verdict_of_what_is_refused(run: Run, tmp_path: Path) -> None:
    """Status 1, and Kochava's answer."""
    async with LocalKochava(app_ids=["koanother"]) as kochava:
        ran = await run("send-test", "--json", "--settings", settings_for(tmp_path, kochava))
    first, _second = map(json.loads, ran.out.splitlines())
    assert (1, False, "rejected by Kochava") == (ran.status, first["delivered"], first["verdict"])
    assert "kochava_app_id" in first["answer"]
    assert "would keep it as dead" in first["why"]


async def test_send_test_shows_no_secrets(run: Run, tmp_path: Path) -> None:
    """Signed requests that are refused do not print the keys."""
    keys = {"wire.api_key": "hidden-key", "wire.api_secret": "hidden-secret"}
    credentials = {APP_ID: KochavaCredentials(api_key="hidden-key", app_secret="other")}
    async with LocalKochava(app_ids=[APP_ID], options=KochavaOptions(credentials=credentials)) as kochava:
        ran = await run("send-test", "--settings", settings_for(tmp_path, kochava, **keys))
    assert 1 == ran.status
    assert "credentials refused by Kochava" in ran.out
    assert "hidden" not in ran.out + ran.err


async def test_send_test_goes_through_the_proxy(run: Run, tmp_path: Path) -> None:
    """As the worker does; the name of Kochava's server is known to the proxy alone."""
    proxy = ProxyServer()
    async with LocalKochava(app_ids=[APP_ID]) as kochava, proxy.running():
        proxy.ports["kochava.example"] = int(kochava.url.rpartition(":")[2])
        addresses = {"wire.event_url": "http://kochava.example/track/json", "delivery.proxy": proxy.url}
        ran = await run("send-test", "--settings", write_settings(tmp_path, **addresses))
    assert (0, 2) == (ran.status, ran.out.count("delivered"))
    assert ["POST http://kochava.example/track/json"] * 2 == proxy.seen


async def test_send_test_without_a_kochava(run: Run, tmp_path: Path) -> None:
    """The verdict says how it failed."""
    async with LocalKochava(app_ids=[APP_ID]) as kochava:
        settings = settings_for(tmp_path, kochava)
    ran = await run("send-test", "--settings", settings)
    assert 1 == ran.status
    assert "not delivered now: connection refused" in ran.out


async def test_send_test_of_a_kind_without_an_address(run: Run, tmp_path: Path) -> None:
    """It was asked for and not delivered."""
    ran = await run("send-test", "--kinds", "click", "--settings", write_settings(tmp_path))
    assert 1 == ran.status
    assert "not configured" in ran.out


@pytest.mark.parametrize(("more", "app_ids"), [([], [APP_ID, "koother"]), (["--page", "1001"], ["koother"])])
async def test_send_test_to_the_app_of_each_page(run: Run, tmp_path: Path, more: list[str], app_ids: list[str]) -> None:
    """Or to that of the one Page that is named."""
    async with LocalKochava(app_ids=[APP_ID, "koother"]) as kochava:
        settings = settings_for(tmp_path, kochava, **{"pages.1001.kochava_app_id": "koother", "pages.1002": {}})
        await run("send-test", *more, "--settings", settings)
        assert app_ids == list(dict.fromkeys(record.app_id for record in kochava.records))
        assert 2 * len(app_ids) == len(kochava.records)


async def test_send_test_says_that_the_bot_itself_sends_nothing(run: Run, tmp_path: Path) -> None:
    """A test is sent whatever the mode."""
    async with LocalKochava(app_ids=[APP_ID]) as kochava:
        ran = await run("send-test", "--settings", settings_for(tmp_path, kochava, mode="dry_run"))
    assert 0 == ran.status
    assert "mode is 'dry_run'" in ran.out


@pytest.mark.parametrize("kinds", ["evnet", "", "event,evnet"])
async def test_send_test_of_an_unknown_kind(run: Run, tmp_path: Path, kinds: str) -> None:
    """One line with the known kinds; nothing is sent."""
    async with LocalKochava(app_ids=[APP_ID]) as kochava:
        ran = await run("send-test", f"--kinds={kinds}", "--settings", settings_for(tmp_path, kochava))
        assert [] == kochava.records
    assert (2, "", 1) == (ran.status, ran.out, len(ran.err.splitlines()))
    assert "install, session, event, identity, impression, click, deletion" in ran.err


@pytest.mark.parametrize(
    ("status", "body", "shown", "ended"),
    [
        (200, b'{"success":"1"}', '200 {"success":"1"}', 0),
        (204, b"", "204", 0),
        (200, b"<html>\n\x1b[31mMoved</html>", "200 <html>\\u000a\\u001b[31mMoved</html>", 0),
        (202, "grün \udcff".encode("utf-8", "surrogateescape"), "202 grün \ufffd", 0),
        (200, b'{"success":0,"why":"no"}', '200 {"success":0,"why":"no"}', 1),
        (200, b"x" * 5000, "200 " + "x" * 196 + "…", 0),
    ],
)
async def test_send_test_prints_the_answer_of_a_success(
    run: Run, tmp_path: Path, status: int, body: bytes, shown: str, ended: int
) -> None:
    """Its status and the start of its body, escaped, and which setting makes it a success or not."""
    async with LocalKochava(app_ids=[APP_ID]) as kochava:
        kochava.answer_with(status, body=body, times=None)
        ran = await run("send-test", "--settings", settings_for(tmp_path, kochava))
    lines = ran.out.splitlines()
    assert (ended, 3) == (ran.status, len(lines))
    assert lines[1].endswith(f"  {shown}")
    assert "wire.success is 'status_and_body'" in lines[1]


async def test_send_test_prints_the_answer_to_a_ping(run: Run, tmp_path: Path) -> None:
    """A redirect is a success of a click."""
    async with LocalKochava(app_ids=[APP_ID]) as kochava:
        kochava.answer_with(302, headers={"Location": "https://shop.example"}, body=b"Found")
        ran = await run("send-test", "--json", "--kinds=click", "--settings", settings_for(tmp_path, kochava))
    answer = json.loads(ran.out)
    assert (0, "delivered", "302 Found") == (ran.status, answer["verdict"], answer["answer"])
    assert "wire.ping_success is '2xx_and_3xx'" in answer["why"]


@pytest.mark.parametrize("more", [[], ["--json"]])
async def test_answer_of_a_success_shows_no_secrets(run: Run, tmp_path: Path, more: list[str]) -> None:
    """As they are, in JSON, in an address, or cut off at the end of what was kept."""
    keys = {"wire.api_key": 'hidden/"key', "wire.api_secret": "hidden-secret"}
    body = b'a hidden/"key b hidden/\\"key c hidden%2F%22key d hidden-secret '
    async with LocalKochava(app_ids=[APP_ID]) as kochava:
        kochava.answer_with(200, body=body, times=1)
        kochava.answer_with(200, body=b"x" * 505 + b"hidden-secret", times=1)
        ran = await run("send-test", *more, "--settings", settings_for(tmp_path, kochava, **keys))
    assert 0 == ran.status
    assert "200 a … b … c … d …" in ran.out
    assert "hidden" not in ran.out + ran.err
