"""Verifies the signature of a webhook."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence

from ..exceptions import SignatureError

HEADER = "X-Hub-Signature-256"
"""The header with the signature. The older header with a SHA-1 is never accepted."""

_FORM = re.compile(r"sha256=([0-9a-f]{64})")


def verify_signature(raw_body: bytes, header: str | None, app_secrets: Sequence[str]) -> None:
    """
    Check that *raw_body* was signed with one of *app_secrets*.

    The bytes must be those of the request: decoding and encoding them changes the escapes that were signed. The
    comparison takes constant time.

    Args:
        raw_body: The request's body as received.
        header: Value of `HEADER`; ``None`` when the request has none.
        app_secrets: Secrets of the apps that share this address, old ones included while they are being replaced.

    Raises:
        SignatureError: The signature is missing, malformed or wrong, or there is no secret to check with. The message
            says which, and contains neither signature nor body.
    """
    secrets = [app_secrets] if isinstance(app_secrets, str) else app_secrets
    keys = [secret.encode() for secret in secrets if secret]
    if not keys:
        msg = "no app secret is set, so no webhook can be trusted"
        raise SignatureError(msg)
    if header is None:
        msg = f"the request has no {HEADER} header"
        raise SignatureError(msg)
    form = _FORM.fullmatch(header)
    if form is None:
        msg = f"the {HEADER} header is not 'sha256=' and 64 lower-case hexadecimal digits"
        raise SignatureError(msg)
    given = bytes.fromhex(form[1])
    # Unlike `hmac.digest`, this does not release the GIL, which a busy event loop would have to wait for.
    matches = [hmac.compare_digest(hmac.new(key, raw_body, "sha256").digest(), given) for key in keys]
    if not any(matches):
        msg = "the signature was made with another app secret, or for another body"
        raise SignatureError(msg)
