"""Signatures of webhooks."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.exceptions import SignatureError
from kochava_bot_middleware.messenger.parsing.webhook import verify_signature

SECRET = "app-secret-of-the-example"
BODY = rb'{"object":"page","entry":[{"messaging":[{"message":{"text":"\u00e4 \/ hello"}}]}]}'


def sign(body: bytes, secret: str = SECRET) -> str:
    """The header as sent by Facebook."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@given(st.binary(), st.text(st.characters(codec="utf-8"), min_size=1))
def test_signed_body_is_accepted(body: bytes, secret: str) -> None:
    """For any bytes and any secret."""
    verify_signature(body, sign(body, secret), [secret])


def test_known_signature_is_accepted() -> None:
    """A vector of RFC 4231 (test case 2), so that test and code cannot share an error."""
    header = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    verify_signature(b"what do ya want for nothing?", header, ["Jefe"])


@given(st.integers(min_value=0, max_value=len(BODY) * 8 - 1))
def test_one_flipped_bit_of_the_body_is_refused(bit: int) -> None:
    """The signature is for the whole body."""
    forged = bytearray(BODY)
    forged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureError):
        verify_signature(bytes(forged), sign(BODY), [SECRET])


@given(st.integers(min_value=0, max_value=71 * 8 - 1))
def test_one_flipped_bit_of_the_header_is_refused(bit: int) -> None:
    """Also in its prefix."""
    forged = bytearray(sign(BODY).encode())
    forged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureError):
        verify_signature(BODY, forged.decode("latin-1"), [SECRET])


@given(st.integers(min_value=0, max_value=255))
def test_one_flipped_bit_of_the_digest_is_refused(bit: int) -> None:
    """In a header of the right form."""
    digest = int(sign(BODY).removeprefix("sha256="), 16) ^ (1 << bit)
    with pytest.raises(SignatureError):
        verify_signature(BODY, f"sha256={digest:064x}", [SECRET])


@pytest.mark.parametrize("position", [0, 1, 2])
def test_one_of_several_secrets_may_match(position: int) -> None:
    """Apps share an address, and secrets are replaced."""
    secrets = ["other-1", "other-2"]
    secrets.insert(position, SECRET)
    verify_signature(BODY, sign(BODY), secrets)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "sha256=",
        sign(BODY).upper(),
        sign(BODY).replace("sha256=", "SHA256="),
        "sha256=" + sign(BODY).removeprefix("sha256=").upper(),
        sign(BODY).removeprefix("sha256="),
        sign(BODY) + "\n",
        " " + sign(BODY),
        sign(BODY) + "00",
        "sha1=" + hmac.new(SECRET.encode(), BODY, hashlib.sha1).hexdigest(),
        "sha512=" + hmac.new(SECRET.encode(), BODY, hashlib.sha512).hexdigest(),
        "md5=" + sign(BODY).removeprefix("sha256="),
        "sha256=" + "é" * 64,
        "sha256=" + "٠" * 64,
    ],
)
def test_header_of_another_form_is_refused(header: str | None) -> None:
    """The algorithm is not read from the header."""
    with pytest.raises(SignatureError):
        verify_signature(BODY, header, [SECRET])


@pytest.mark.parametrize("secrets", [[], [""], ""])
def test_without_a_secret_every_body_is_refused(secrets: Sequence[str]) -> None:
    """An empty secret, with which anyone could sign, does not count."""
    with pytest.raises(SignatureError, match="no app secret"):
        verify_signature(BODY, sign(BODY, ""), secrets)


def test_single_text_is_one_secret() -> None:
    """Not a sequence of secrets with one character each."""
    verify_signature(BODY, sign(BODY), SECRET)
    with pytest.raises(SignatureError):
        verify_signature(BODY, sign(BODY, SECRET[0]), SECRET)


@pytest.mark.parametrize("header", [None, "sha256=abc", sign(BODY, "another")])
def test_refusal_shows_neither_signature_nor_body_nor_secret(header: str | None) -> None:
    """The message can be logged."""
    with pytest.raises(SignatureError) as refusal:
        verify_signature(BODY, header, [SECRET])
    shown = str(refusal.value)
    assert [] == [text for text in (header or "hello", "hello", SECRET) if text in shown]


def test_refusal_is_answered_with_403() -> None:
    """Without the reason."""
    assert SignatureError.status == 403
