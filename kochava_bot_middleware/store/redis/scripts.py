"""The scripts as the server gets them."""

from __future__ import annotations

import hashlib

import attrs

from . import lua_commit as commit
from . import lua_reading as reading
from . import lua_upkeep as upkeep
from .lua_lanes import LANES

# A server whose memory is full refuses a script before its first line, unless told that it needs no room.
_GROWS = "#!lua\n"
_SHRINKS = "#!lua flags=allow-oom\n"
_LOOKS = "#!lua flags=no-writes\n"


@attrs.frozen
class Script:
    """A script and the hash under which the server knows it."""

    text: str = attrs.field(repr=False)
    sha: str = attrs.field(init=False)

    @sha.default
    def _sha(self) -> str:
        # The server's own name for a script, not a matter of security.
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    @property
    def writes(self) -> bool:
        """Whether it may change anything."""
        return not self.text.startswith(_LOOKS)


COMMIT = Script(_GROWS + LANES + commit.COMMIT)
COMMIT_ENDS = Script(_SHRINKS + LANES + commit.COMMIT)
"""The same for units without appends and new marks, which empty the store and work when its memory is full."""

CLAIM = Script(_SHRINKS + LANES + commit.CLAIM)
RENEW = Script(_SHRINKS + LANES + commit.RENEW)
OPEN = Script(_GROWS + LANES + upkeep.OPEN)
RETRY_DEAD = Script(_GROWS + LANES + upkeep.RETRY_DEAD)
FORGET = Script(_SHRINKS + LANES + upkeep.FORGET)
PURGE = Script(_SHRINKS + LANES + upkeep.PURGE)
SWEEP = Script(_SHRINKS + LANES + upkeep.SWEEP)
RECALL = Script(_LOOKS + LANES + reading.RECALL)
NEXT_DUE = Script(_LOOKS + LANES + reading.NEXT_DUE)
STATS = Script(_LOOKS + LANES + reading.STATS)
PLACE_OF = Script(_LOOKS + LANES + reading.PLACE_OF)
FIND = Script(_LOOKS + LANES + reading.FIND)
BROWSE = Script(_LOOKS + LANES + reading.BROWSE)
