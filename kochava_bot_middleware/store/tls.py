"""What is wrong with the encryption of a connection to a server, and what to do."""

from __future__ import annotations

import ssl

_OTHER_HOST = (62, 64)
_OUT_OF_DATE = (9, 10)
"""OpenSSL's numbers: of another name or address, not valid yet or any more."""


def tls_advice(exc: BaseException, *, option: str) -> str | None:
    """
    The part of an error message about it; ``None`` if it is not encryption that failed.

    Args:
        exc: What the client library raised; the reason may be among its causes.
        option: Of the store's address, for the file with the authority to trust.
    """
    each: BaseException | None = exc
    while each is not None and not isinstance(each, ssl.SSLError):
        each = each.__cause__ or each.__context__
    if each is None:
        return None
    if not isinstance(each, ssl.SSLCertVerificationError):
        return f"cannot be spoken to encrypted; see that this port takes TLS, and the file of ?{option}="
    if each.verify_code in _OTHER_HOST:
        return "shows the certificate of another host; write the host in the address as the certificate has it"
    if each.verify_code in _OUT_OF_DATE:
        return "shows a certificate that is out of date; renew it, or see the clocks of both machines"
    return f"shows a certificate of an authority that is not trusted; name that one's file by ?{option}="
