"""
The local Messenger's Graph API over HTTP.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import aiohttp

from kochava_bot_middleware.sandbox.messenger_server import LocalMessenger
from tests.fakes import VirtualClock

from .conftest import PAGE, TOKEN, MakeMessenger
