"""An error of our own code is none of what was to be written: it is repeated, and no dead letter is made of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kochava_bot_middleware.exceptions import NotStorable, StoreError, StoreUnavailable
from kochava_bot_middleware.store.postgres.errors import classify as classify_postgres
from kochava_bot_middleware.store.sqlite.errors import classify as classify_sqlite

Classify = Callable[[Exception], StoreError]

ENGINES: dict[str, Classify] = {
    "sqlite": lambda exc: classify_sqlite(exc, Path("/data/bot.db")),
    "postgres": lambda exc: classify_postgres(exc, "postgresql://db/bots"),
}


@pytest.mark.parametrize("classify", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("kind", [IndexError, KeyError, TypeError, ValueError, AttributeError, AssertionError])
def test_unforeseen_error_is_repeated(classify: Classify, kind: type[Exception]) -> None:
    """It says which error, and where it came from, but not what it said, which may be personal."""

    def read_rows() -> None:
        raise kind("ann@example.com")

    with pytest.raises(kind) as raised:
        read_rows()
    error = classify(raised.value)
    assert type(error) is StoreUnavailable
    assert f"unforeseen {kind.__name__} in read_rows" in str(error)
    assert "example.com" not in str(error)


@pytest.mark.parametrize("classify", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("said", [UnicodeError("half"), OverflowError("too large")])
def test_error_about_a_value_is_of_the_unit(classify: Classify, said: Exception) -> None:
    """No repetition would help."""
    assert isinstance(classify(said), NotStorable)
