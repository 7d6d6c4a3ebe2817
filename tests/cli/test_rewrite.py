"""`kochava-bot rewrite`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import BUTTONS, SMARTLINK, Run, write_json, write_settings


async def test_rewrite_prints_the_body_as_it_would_be_sent(run: Run, tmp_path: Path) -> None:
    """The link is a SmartLink that names the recipient; everything else is unchanged."""
    ran = await run("rewrite", "--settings", write_settings(tmp_path), write_json(tmp_path / "send.json", BUTTONS))

    body = json.loads(ran.out)
    site, us = body["message"]["attachment"]["payload"]["buttons"]
    assert 0 == ran.status
    assert site["url"].startswith(f"{SMARTLINK}?url=https%3A%2F%2Fshop.example%2Fa&")
    assert site["url"].endswith("fb_user_id=5")
    assert "https://m.me/shop" == us["url"]


async def test_rewrite_explains_every_link(run: Run, tmp_path: Path) -> None:
    """After the body comes a table: place, kind, link, and its SmartLink or why it has none."""
    ran = await run(
        "rewrite", "--explain", "--settings", write_settings(tmp_path), write_json(tmp_path / "send.json", BUTTONS)
    )

    body, heads, site, us = ran.out.splitlines()
    smartlink = json.loads(body)["message"]["attachment"]["payload"]["buttons"][0]["url"]
    place = "message.attachment.payload.buttons.0.url"
    assert ["place", "kind", "link", "became"] == heads.split()
    assert [place, "button", "https://shop.example/a", smartlink] == site.split()
    assert us.endswith("left alone: messenger_link")


async def test_rewrite_explains_a_body_without_links(run: Run, tmp_path: Path) -> None:
    """Without a table."""
    path = write_json(tmp_path / "send.json", {"recipient": {"id": "5"}, "message": {"text": "hello"}})
    ran = await run("rewrite", "--explain", "--settings", write_settings(tmp_path), path)
    assert "no links" == ran.out.splitlines()[1]


async def test_rewrite_prints_half_a_surrogate_pair_as_it_came(run: Run, tmp_path: Path) -> None:
    """A title that was cut within an emoji has no UTF-8, but it has JSON."""
    body = {"recipient": {"id": "5"}, "message": {"text": "gr\u00fcn \ud83d"}}
    ran = await run("rewrite", "--settings", write_settings(tmp_path), write_json(tmp_path / "send.json", body))
    assert (0, body) == (ran.status, json.loads(ran.out))


async def test_rewrite_with_the_middleware_off_changes_nothing(run: Run, tmp_path: Path) -> None:
    """The body is printed as it is."""
    path = write_json(tmp_path / "send.json", BUTTONS)
    ran = await run("rewrite", "--settings", write_settings(tmp_path, mode="off"), path)
    assert json.loads(ran.out) == BUTTONS


@pytest.mark.parametrize("text", ["", "{", "5", '"text"', "[" * 100_000])
async def test_rewrite_refuses_what_is_not_a_body(run: Run, tmp_path: Path, text: str) -> None:
    """A message, status 1, and the next file is still printed."""
    bad, good = tmp_path / "bad.json", write_json(tmp_path / "good.json", BUTTONS)
    bad.write_text(text)

    ran = await run("rewrite", "--settings", write_settings(tmp_path), bad, good)

    assert (1, 1, 1) == (ran.status, len(ran.out.splitlines()), len(ran.err.splitlines()))
    assert ran.err.startswith(f"kochava-bot rewrite: {bad}: ")
