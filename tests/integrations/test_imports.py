"""What the integrations of web hosts import."""

from __future__ import annotations

import subprocess
import sys

import pytest

FRAMEWORKS = ["bottle", "django", "falcon", "fastapi", "flask", "gunicorn", "quart", "starlette", "uvicorn", "werkzeug"]


@pytest.mark.parametrize("name", ["aiohttp", "asgi", "wsgi"])
def test_an_integration_imports_no_framework_but_its_own(name: str) -> None:
    """Only the standard library for ASGI and WSGI."""
    code = f"import kochava_bot_middleware.integrations.{name}, sys; print(*set({FRAMEWORKS}) & set(sys.modules))"
    assert b"\n" == subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
