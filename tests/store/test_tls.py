"""Stores on servers that are spoken to encrypted: who is trusted, and what is said where nobody is."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import attrs
import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.postgres.store import PostgresStore
from kochava_bot_middleware.store.records import CommitVerdict
from kochava_bot_middleware.store.redis.store import RedisStore
from tests.store.harness import append, claim_one, entry, settle
from tests.store.postgres_server import NewStore, postgres_store, shared_server
from tests.store.tls import Authority, authority, tls_server, to_port, to_socket
from tests.store.valkey import fresh_url, shared_valkey

HOST = "127.0.0.1"
PASSWORD = "hunter2"


@attrs.frozen(kw_only=True)
class Engine:
    """
    How a store of one engine is configured to trust an authority.

    Attributes:
        make: A store at host and port, with options.
        tables: Options of a place of its own.
        negotiates: TLS begins when the client asks for it.
        trusts: The option with the authority's file.
        shows: Those with the client's own certificate and key.
    """

    make: Callable[[str, int, str], Store]
    tables: str
    negotiates: bool
    trusts: str
    shows: tuple[str, str]

    def store(self, port: int, trusted: Path | str | None, *, host: str = HOST, more: str = "") -> Store:
        trust = "" if trusted is None else f"&{self.trusts}={trusted}"
        return self.make(host, port, f"{self.tables}{trust}{more}")


def redis_store(host: str, port: int, options: str) -> Store:
    return RedisStore(f"rediss://bot:{PASSWORD}@{host}:{port}?{options}")


def postgres_over_tls(host: str, port: int, options: str) -> Store:
    return PostgresStore(f"postgresql://postgres:{PASSWORD}@{host}:{port}/postgres?sslmode=verify-full&{options}")


@pytest.fixture(params=["valkey", "postgres"])
async def engine(request: pytest.FixtureRequest, new_store: NewStore, postgres_url: str) -> Engine:
    if request.param == "valkey":
        shared_valkey().run("ACL", "SETUSER", "bot", "on", f">{PASSWORD}", "~*", "+@all")
        options = fresh_url().partition("?")[2]
        shows = ("ssl_certfile", "ssl_keyfile")
        return Engine(make=redis_store, tables=options, negotiates=False, trusts="ssl_ca_certs", shows=shows)
    await new_store()
    options = postgres_url.partition("?")[2]
    shows = ("sslcert", "sslkey")
    return Engine(make=postgres_over_tls, tables=options, negotiates=True, trusts="sslrootcert", shows=shows)


@pytest.fixture
def trusted(tmp_path: Path) -> Authority:
    return authority(tmp_path / "trusted")


@pytest.fixture
def unknown(tmp_path: Path) -> Authority:
    return authority(tmp_path / "unknown")


def server(engine: Engine, context: ssl.SSLContext) -> AbstractAsyncContextManager[int]:
    inner = to_port(shared_server().port) if engine.negotiates else to_socket(shared_valkey().socket)
    return tls_server(context, inner, negotiates=engine.negotiates)


async def refusal(store: Store) -> str:
    """What is said when it is opened."""
    with pytest.raises(StoreUnavailable) as caught:
        await store.open()
    await store.close()
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


async def test_a_trusted_certificate_is_spoken_to(engine: Engine, trusted: Authority) -> None:
    """Appending, claiming and settling all go through the encrypted connection."""
    async with server(engine, trusted.server(HOST)) as port:
        store = engine.store(port, trusted.file)
        await append(store, entry("a"))
        assert CommitVerdict.COMMITTED is (await settle(store, await claim_one(store))).verdict
        await store.close()


async def test_an_unknown_authority_is_refused(engine: Engine, trusted: Authority, unknown: Authority) -> None:
    """At opening; the error names the option for the authority's file."""
    async with server(engine, trusted.server(HOST)) as port:
        message = await refusal(engine.store(port, unknown.file))
    assert f"an authority that is not trusted; name that one's file by ?{engine.trusts}=" in message


async def test_the_certificate_of_another_host_is_refused(engine: Engine, trusted: Authority) -> None:
    """Though its authority is trusted, as of a name that somebody has taken over."""
    async with server(engine, trusted.server("db.example")) as port:
        assert "shows the certificate of another host" in await refusal(engine.store(port, trusted.file))


async def test_a_missing_file_is_told_as_such(engine: Engine, trusted: Authority, tmp_path: Path) -> None:
    """And not as a server that cannot be reached."""
    async with server(engine, trusted.server(HOST)) as port:
        message = await refusal(engine.store(port, tmp_path / "nothing.pem"))
    assert "a file in its address that is not there" in message
    assert engine.trusts in message


async def test_a_file_without_a_certificate_is_told_as_such(engine: Engine, trusted: Authority, tmp_path: Path) -> None:
    """With the option that names it."""
    (tmp_path / "empty.pem").write_text("nothing")
    async with server(engine, trusted.server(HOST)) as port:
        message = await refusal(engine.store(port, tmp_path / "empty.pem"))
    assert f"the file of ?{engine.trusts}=" in message


async def test_a_certificate_of_its_own_is_shown(
    engine: Engine, trusted: Authority, unknown: Authority, tmp_path: Path
) -> None:
    """To a server that takes only clients whom it knows."""
    certificate, key = unknown.client(tmp_path)
    mine = "".join(f"&{name}={path}" for name, path in zip(engine.shows, (certificate, key), strict=True))
    async with server(engine, trusted.server(HOST, client=unknown)) as port:
        await refusal(engine.store(port, trusted.file))
        store = engine.store(port, trusted.file, more=mine)
        assert ("a",) == (await append(store, entry("a"))).appended
        await store.close()


async def test_without_an_authority_the_machines_own_are_trusted(trusted: Authority) -> None:
    """So a hosted server needs no option, and one of a company's own authority is refused until it is named."""
    async with tls_server(trusted.server(HOST), to_socket(shared_valkey().socket)) as port:
        assert "?ssl_ca_certs=" in await refusal(RedisStore(f"rediss://{HOST}:{port}"))


async def test_plain_words_to_an_encrypted_port_are_explained(trusted: Authority) -> None:
    """The server hangs up; the error names the other scheme."""
    async with tls_server(trusted.server(HOST), to_socket(shared_valkey().socket)) as port:
        assert "begins with rediss:// if it wants TLS" in await refusal(RedisStore(f"redis://{HOST}:{port}"))


async def test_a_postgresql_without_tls_is_not_spoken_to_in_the_clear(trusted: Authority) -> None:
    """Where the address asks for encryption, there is none without it."""
    port = shared_server().port
    assert "has no TLS; set ssl = on" in await refusal(postgres_over_tls(HOST, port, f"sslrootcert={trusted.file}"))


async def test_the_connection_for_notices_is_encrypted_too(trusted: Authority, postgres_url: str) -> None:
    """It is another one than those of the pool."""
    async with tls_server(trusted.server(HOST), to_port(shared_server().port), negotiates=True) as port:
        options = f"sslmode=verify-full&sslrootcert={trusted.file}&listen={HOST}:{port}"
        store = await postgres_store(f"{postgres_url}&{options}".replace(f":{shared_server().port}/", f":{port}/"))
        store.on_append(lambda: None)
        assert await store.listening()
        await store.close()
