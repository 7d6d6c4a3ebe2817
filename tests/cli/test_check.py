"""`kochava-bot check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kochava_bot_middleware.cli.check import example_of, remarks_on
from kochava_bot_middleware.settings import from_mapping
from kochava_bot_middleware.testing import LocalKochava
from kochava_bot_middleware.tracking.settings import Apps, KochavaSettings
from tests.cli.conftest import APP_ID, SMARTLINK, Run, write_settings

CLICK = "https://control.kochava.com/v1/cpi/click?campaign_id=kogreet&network_id=1&device_id=device_id"
IMPRESSION = "https://imp.control.kochava.com/track/impression?campaign_id=kogreet&network_id=1"
QUIET_GREETING = {"impression_url": IMPRESSION, "click_url": CLICK}
QUIET = {
    "kochava_app_id": APP_ID,
    "smartlinks": {"default": f"{SMARTLINK}?url={{url}}", "user_param": None},
    "greeting": QUIET_GREETING,
    "install": {"mode": "entry"},
    "privacy": {"consent": lambda _user_id: True},
}
"""Settings in which nothing looks wrong."""


def keys_of(**settings: object) -> list[str]:
    """The keys of the remarks, without the one that is always there."""
    built = from_mapping(KochavaSettings, {**QUIET, **settings})
    keys = [key for key, _text in remarks_on(built, Apps(built))]
    assert "kochava_app_id" == keys[-1]
    return keys[:-1]


async def test_check_shows_the_request_of_each_kind(run: Run, tmp_path: Path) -> None:
    """Method, address, headers and body; placeholders of a pasted address are replaced."""
    settings = write_settings(tmp_path, **{"greeting.impression_url": IMPRESSION, "greeting.click_url": CLICK})

    ran = await run("check", settings)

    lines = [line.strip() for line in ran.out.splitlines()]
    purchase = next(json.loads(line) for line in lines if "Test Purchase" in line)
    assert 0 == ran.status
    assert "POST https://control.kochava.com/track/json" in lines
    assert ("event", APP_ID) == (purchase["action"], purchase["kochava_app_id"])
    assert {"fb_user_id": "kochava-bot-test"} == purchase["data"]["device_ids"]
    (click,) = (line for line in lines if line.startswith("GET https://control.kochava.com/v1/cpi/click"))
    assert "device_id=device_id" not in click
    assert "fb_user_id=kochava-bot-test" in click
    assert "deletion: not configured" in lines


async def test_check_shows_the_pings_of_each_tracker(run: Run, tmp_path: Path) -> None:
    """Those that have an address."""
    spring = {"greeting.trackers.spring.click_url": CLICK.replace("kogreet", "kospring")}
    settings = write_settings(tmp_path, **{"greeting.impression_url": IMPRESSION, **spring})
    lines = (await run("check", settings)).out.splitlines()
    assert [
        "click of spring:",
        "click: not configured",
        "impression of spring: not configured",
        "impression:",
    ] == sorted(line for line in lines if line.startswith(("impression", "click")))
    (click,) = (line for line in lines if "/cpi/click" in line)
    assert "campaign_id=kospring" in click


def test_check_looks_at_the_addresses_of_each_tracker() -> None:
    """At the top and of a Page; a tracker that a Page lacks is remarked, unless it is empty there."""
    wrong = {"click_url": "https://control.kochava.com/v1/cpi/click"}
    greeting = {**QUIET_GREETING, "trackers": {"spring": wrong}}
    at = "greeting.trackers.spring.click_url"
    assert [at] == keys_of(greeting=greeting)
    assert ["greeting.trackers", f"pages.7.{at}"] == keys_of(pages={"7": {"greeting": greeting}})
    assert [f"pages.7.{at}"] == keys_of(
        pages={"7": {"greeting": greeting}}, greeting={**QUIET_GREETING, "trackers": {"spring": {}}}
    )


async def test_check_says_what_is_never_sent(run: Run, tmp_path: Path) -> None:
    """An install and an identity link are shown, but these settings send none."""
    ran = await run("check", write_settings(tmp_path, **{"wire.identity_form": "off"}))
    assert "install (install.mode is off: never sent):" in ran.out
    assert "identity (wire.identity_form is off: never sent):" in ran.out


async def test_check_sends_nothing(run: Run, tmp_path: Path) -> None:
    """Kochava is not asked."""
    async with LocalKochava(app_ids=[APP_ID]) as kochava:
        ran = await run("check", write_settings(tmp_path, **{"wire.event_url": f"{kochava.url}/track/json"}))
        assert (0, [], []) == (ran.status, kochava.records, kochava.rejections)


async def test_check_masks_secrets(run: Run, tmp_path: Path) -> None:
    """Keys, what is derived from them, and credentials within addresses."""
    settings = write_settings(
        tmp_path,
        **{
            "wire.api_key": "hidden-key",
            "wire.api_secret": "hidden-secret",
            "wire.deletion_url": "https://me:hidden-word@nng.kochava.com/accounts/1/apps/2/privacy/scrub",
            "wire.deletion_key": "hidden-deletion",
        },
    )
    ran = await run("check", settings)
    assert "hidden" not in ran.out + ran.err
    assert "Kochava-Api-Key: …" in ran.out
    assert "https://…@nng.kochava.com/accounts/1/apps/2/privacy/scrub" in ran.out


async def test_check_shows_each_route_with_an_example(run: Run, tmp_path: Path) -> None:
    """The SmartLink that the example becomes, as the bot would make it."""
    settings = write_settings(tmp_path)
    route = '{match = "https://shop.example/*", link = "https://acme.smart.link/shop?path={path}"}'
    settings.write_text(settings.read_text() + f"smartlinks.routes = [{route}]\n")
    ran = await run("check", settings)
    (shop,) = (line for line in ran.out.splitlines() if line.startswith("https://shop.example/*"))
    _, example, became = shop.split()
    assert "https://shop.example/example" == example
    assert became.startswith("https://acme.smart.link/shop?path=%2Fexample&sub_site_id=messenger")


async def test_check_of_a_page_with_an_app_of_its_own(run: Run, tmp_path: Path) -> None:
    """Its requests are shown as well."""
    ran = await run("check", write_settings(tmp_path, **{"pages.1001.kochava_app_id": "koother"}))
    assert "requests of koother (Page 1001)" in ran.out
    assert '"kochava_app_id":"koother"' in ran.out


async def test_check_with_warnings_succeeds(run: Run, tmp_path: Path) -> None:
    """Warnings are not a failure."""
    ran = await run("check", write_settings(tmp_path))
    warnings = [line for line in ran.out.splitlines() if line.startswith("warning: ")]
    assert 0 == ran.status
    assert any("privacy.consent" in line for line in warnings)
    assert any("paid" in line for line in warnings)


async def test_check_warns_of_pages_of_the_bot_that_share_an_app(run: Run, tmp_path: Path) -> None:
    """Pages are also those of the table [bot]."""
    settings = write_settings(tmp_path)
    settings.write_text(settings.read_text() + "[bot.pages.1001]\n[bot.pages.1002]\n")
    ran = await run("check", settings)
    assert f"{APP_ID} counts Pages 1001, 1002 as one" in ran.out


@pytest.mark.parametrize("more", [["--settings", "other.toml"], []])
async def test_check_of_wrong_settings(run: Run, tmp_path: Path, more: list[str]) -> None:
    """One error, status 2, nothing on standard output."""
    ran = await run("check", write_settings(tmp_path, drain_seconds=-1), *more)
    assert (2, "", 1) == (ran.status, ran.out, len(ran.err.splitlines()))


def test_settings_without_faults_give_no_remark() -> None:
    """Except that a paid account is needed."""
    assert [] == keys_of()


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        (
            {"smartlinks": {"routes": [{"match": "a.example/*", "link": SMARTLINK}], "user_param": None}},
            ["smartlinks.routes[0].link"],
        ),
        (
            {
                "smartlinks": {
                    "routes": [
                        {"match": "https://a.example/*", "link": f"{SMARTLINK}?p={{path}}"},
                        {"match": "a.example/x*", "link": f"{SMARTLINK}?p={{path}}"},
                    ],
                    "user_param": None,
                }
            },
            ["smartlinks.routes[1].match"],
        ),
        ({"smartlinks": {"default": "http://a.smart.link/x?u={url}", "user_param": None}}, ["smartlinks.default"]),
        ({"smartlinks": {"default": f"{SMARTLINK}?url={{url}}"}}, ["smartlinks.user_param"]),
        (
            {"greeting": {"click_url": "https://control.kochava.com/v1/cpi/click?network_id=1"}},
            ["greeting.click_url"],
        ),
        ({"greeting": {"click_url": CLICK.replace("https", "http")}}, ["greeting.click_url"]),
        ({"wire": {"event_url": "http://control.kochava.com/track/json"}}, ["wire.event_url"]),
        ({"pages": {"1": {"wire": {"identity_url": "http://k.example/"}}}}, ["pages.1.wire.identity_url"]),
        ({"install": {"mode": "off"}}, ["install.mode"]),
        ({"install": {"mode": "off"}, "greeting": {}}, []),
        ({"pages": {"1": {}, "2": {}}}, ["kochava_app_id"]),
        ({"pages": {"1": {"kochava_app_id": "ko1"}, "2": {}}}, []),
        ({"events": {"names": {"order": "purchase"}}}, ["events.names.order"]),
        ({"events": {"names": {"order": "Purchase", "postback": "Tap"}}}, []),
        ({"pages": {"1": {"events": {"names": {"form": "add_to_cart"}}}}}, ["pages.1.events.names.form"]),
        ({"delivery": {"on_ambiguous": {"Add To Cart": "dead"}}}, ["delivery.on_ambiguous.Add To Cart"]),
        ({"privacy": {}}, ["privacy.consent"]),
        ({"mode": "dry_run"}, ["mode"]),
    ],
)
def test_a_doubtful_setting_gives_one_remark(settings: dict[str, object], keys: list[str]) -> None:
    """On the key to look at."""
    assert keys == keys_of(**settings)


def test_hashed_ids_in_links_give_no_remark() -> None:
    """A hash does not identify the person."""
    links = {"default": f"{SMARTLINK}?url={{url}}", "user_id_hash": True, "user_id_hash_key": "k"}
    assert [] == keys_of(smartlinks=links)


@pytest.mark.parametrize(
    ("match", "example"),
    [
        ("https://shop.example/*", "https://shop.example/example"),
        ("shop.example/a*b", "https://shop.example/aexampleb"),
        ("*.shop.example/*", "https://example.shop.example/example"),
        ("*://shop.example/", "https://shop.example/"),
        ("ftp://shop.example/*", None),
    ],
)
def test_example_fits_its_route(match: str, example: str | None) -> None:
    """None where none could be made."""
    assert example == example_of(match)
