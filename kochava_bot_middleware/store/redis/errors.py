"""Which error of a store an error of redis-py is: one that passes, one of this unit alone, or one that needs repair."""

from __future__ import annotations

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ...exceptions import NotStorable, StoreError, StoreUnavailable, StoreUnusable
from ..tls import tls_advice
from .address import RedisAddress

_REFUSED_USER = ("noauth", "wrongpass", "invalid username-password", "authentication required")
"""How the answers of servers begin where redis-py only says that there is no connection."""

_TOO_LARGE = ("invalid bulk length", "exceeds maximum allowed size")
"""What servers say to an argument, or a value, that is longer than they take."""

_OF_A_SCRIPT = "user_script:"
"""How an error begins with which a script stopped at what it was given; others only end with the place."""


def classify(exc: BaseException, address: RedisAddress) -> StoreError:
    """
    The error to raise for *exc*: what was tried, and how to fix it.

    What is neither of the server nor of the connection is taken for a fault of the unit, such as a text that is not
    UTF-8: were it one of the store, not even a dead letter could be kept.
    """
    if isinstance(exc, StoreError):
        return exc
    text = " ".join(str(exc).split())[:200]
    if address.password:
        text = text.replace(address.password, "…")
    reason = _fault_of_unit(exc, text)
    error: StoreError
    if reason is not None:
        # Not the text, which may quote what could not be kept.
        error = NotStorable(f"the store {address} cannot keep this ({type(exc).__name__})", reason=reason)
    elif (repair := _repair(exc, text, address)) is not None:
        error = StoreUnusable(f"the store {address} {repair} ({type(exc).__name__}: {text})")
    else:
        error = StoreUnavailable(f"the store {address} {_advice(exc, text, address)} ({type(exc).__name__}: {text})")
    error.__cause__ = exc if isinstance(exc, Exception) else None
    return error


def _fault_of_unit(exc: BaseException, text: str) -> str | None:
    if isinstance(exc, UnicodeError | TypeError | ValueError | OverflowError) and not isinstance(exc, RedisError):
        return "the store has no form for it"
    if isinstance(exc, ResponseError):
        if any(said in text for said in _TOO_LARGE):
            return "too large for the store"
        if text.startswith(_OF_A_SCRIPT):
            return "refused by the store"
    return None


def _repair(exc: BaseException, text: str, address: RedisAddress) -> str | None:
    if isinstance(exc, AuthenticationError | AuthorizationError) or text.lower().startswith(_REFUSED_USER):
        return "does not accept this user and password; see those in the address"
    if isinstance(exc, NoPermissionError) or text.startswith("ACL failure in script"):
        return f"does not permit this user what is needed: +@all on all keys beginning with {{{address.prefix}"
    if isinstance(exc, ReadOnlyError):
        return "is a replica now; name the primary"
    if text.startswith("WRONGTYPE"):
        return f"has keys of another program that begin with {{{address.prefix}; take another ?prefix="
    if text.startswith("EMPTIED"):
        return "was emptied while it was open; see who did it, then run `kochava-bot store init`"
    return None


def _advice(exc: BaseException, text: str, address: RedisAddress) -> str:
    encryption = tls_advice(exc, option="ssl_ca_certs")
    if isinstance(exc, OutOfMemoryError):
        return "takes nothing new, since its memory is full; raise its maxmemory, or deliver what waits"
    if text.startswith("MISCONF"):
        return "takes nothing, since it cannot write to its disk; look at the disk"
    if "non local key" in text:
        return "has keys on two servers of its cluster; see that the move of their slot goes on to its end"
    if isinstance(exc, RedisTimeoutError):
        return f"did not answer within {address.timeout_seconds:g} s, so whether it wrote is unknown"
    if encryption is not None:
        return encryption
    if address.tls and isinstance(exc.__context__, FileNotFoundError):
        return f"has a file in its address that is not there; see {', '.join(address.tls)}"
    if isinstance(exc, RedisConnectionError | OSError):
        hint = ", which begins with rediss:// if it wants TLS" if address.scheme == "redis" else ""
        return f"cannot be reached; see that the server runs, and that this is its address{hint}"
    return "cannot be used"
