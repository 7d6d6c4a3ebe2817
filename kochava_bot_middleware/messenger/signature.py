"""Whether a webhook really comes from Facebook."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence

from ..exceptions import SignatureError

HEADER = "X-Hub-Signature-256"
"""The header that holds the signature. Its older form, SHA-1 under another name, is never accepted."""

_FORM = re.compile(r"sha256=([0-9a-f]{64})")


def verify_signature(raw_body: bytes, header: str | None, app_secrets: Sequence[str]) -> None:
    """
    Return if *raw_body* was signed with one of *app_secrets*, else raise.

    The bytes must be those of the request: parsing and dumping them first changes the escapes that were signed. The
    time taken does not tell how much of a forged signature was right.

    Args:
        raw_body: The request's body as received.
        header: Value of `HEADER`; ``None`` when the request has none.
        app_secrets: Secrets of the apps that share this address, old ones included while they are being replaced.

    Raises:
        SignatureError: The signature is missing, malformed or wrong, or there is no secret to check with. The message
            tells which, and shows neither signature nor body.
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
    # Unlike `hmac.digest`, this keeps the interpreter while it works, which a busy event loop would wait to get back.
    matches = [hmac.compare_digest(hmac.new(key, raw_body, "sha256").digest(), given) for key in keys]
    if not any(matches):
        msg = "the signature was made with another app secret, or for another body"
        raise SignatureError(msg)
