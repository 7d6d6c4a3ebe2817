"""
Turns within lanes: of commits that append to the same lane, one at a time is with the store.

A store may fail one commit and take the next. Were both with it, what came second would be written first.
"""

from __future__ import annotations

import asyncio

Lane = tuple[str, str]
"""A queue and one of its lanes."""


class Place:
    """
    Where one commit stands.

    Attributes:
        lanes: In which lanes.
        behind: In how many of them somebody else comes first.
    """

    __slots__ = ("_turn", "behind", "lanes")

    def __init__(self, lanes: set[Lane]) -> None:
        self.lanes = lanes
        self.behind = 0
        self._turn: asyncio.Future[None] | None = None

    async def turn(self) -> None:
        """
        Return once it is first in all its lanes.
        """
        if self.behind:
            self._turn = asyncio.get_running_loop().create_future()
            await self._turn

    def move_up(self) -> None:
        """
        It has become the first of one more lane.
        """
        self.behind -= 1
        if not self.behind and self._turn is not None and not self._turn.done():
            self._turn.set_result(None)


class LaneOrder:
    """
    Who stands in which lane, in the order in which they came.
    """

    def __init__(self) -> None:
        self._lines: dict[Lane, list[Place]] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def stand(self, lanes: set[Lane]) -> Place:
        """
        Take the last place in each of *lanes*. All at once, so that no two can wait for each other.
        """
        place = Place(lanes)
        for lane in place.lanes:
            line = self._lines.get(lane)
            if line is None:
                self._lines[lane] = [place]
            else:
                line.append(place)
                place.behind += 1
        return place

    def leave(self, place: Place) -> None:
        """
        Make room for who comes next, also when the turn was not waited for.
        """
        for lane in place.lanes:
            line = self._lines[lane]
            was_first = line[0] is place
            line.remove(place)
            if not line:
                del self._lines[lane]
            elif was_first:
                line[0].move_up()
