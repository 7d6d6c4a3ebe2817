"""
Marks are looked up together: what is asked for while a look is under way is one look afterwards.

A worker asks for one mark before each request, and each look is a transaction of three round trips.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

import attrs

from ...exceptions import StoreUnavailable
from .errors import refuse
from .pool import Pool
from .reading import recall


@attrs.frozen(eq=False)
class _Waiting:
    keys: Sequence[str]
    future: asyncio.Future[Mapping[str, bytes]]


class Recaller:
    """
    Looks for as long as somebody asks. A look begins after it was asked for, so it sees all that was committed by then.

    Args:
        pool: The connections.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: list[_Waiting] = []
        self._looking: asyncio.Task[None] | None = None

    async def recall(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """See `Store.recall`."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(keys, loop.create_future())
        self._waiting.append(waiting)
        if self._looking is None:
            self._looking = loop.create_task(self._look(), name="kochava-bot-recall")
        return await waiting.future

    async def drain(self) -> None:
        """Return when nobody waits any more."""
        if self._looking is not None:
            await asyncio.wait({self._looking})

    async def _look(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                await self._answer(group)
        finally:
            self._looking = None

    async def _answer(self, group: Sequence[_Waiting]) -> None:
        keys = list({key for waiting in group for key in waiting.keys})
        try:
            found = await self._pool.run(partial(recall, keys=keys))
        except Exception as exc:  # noqa: BLE001 - whatever it is, the callers are told
            refuse([waiting.future for waiting in group], exc)
        except BaseException:
            ended = StoreUnavailable("the event loop stopped while this was being looked up")
            refuse([waiting.future for waiting in (*group, *self._waiting)], ended)
            raise
        else:
            for waiting in group:
                if not waiting.future.done():
                    waiting.future.set_result({key: found[key] for key in waiting.keys if key in found})
