"""What the package makes of each recorded case is what the release made of it that was recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from .files import Case, first_difference, read_cases, stored
from .replay import KINDS, bench

LEAST = {"webhooks": 500, "rewrites": 200, "calls": 100, "requests": 100, "verdicts": 60}

GROUPS = [(kind, group) for kind in KINDS for group in dict.fromkeys(case["group"] for case in read_cases(kind))]


@pytest.mark.parametrize(("kind", "group"), GROUPS)
async def test_recorded_cases_come_out_as_recorded(kind: str, group: str, tmp_path: Path) -> None:
    """Each difference is shown with the name of its case, and the first place where the two differ."""
    cases = [case for case in read_cases(kind) if case["group"] == group]
    wrong = []
    async with bench(tmp_path) as at:
        for case in cases:
            got = stored(await KINDS[kind](case["given"], at))
            difference = first_difference(case["expected"], got)
            if difference is not None:
                wrong.append(f"{kind} / {group} / {case['name']}\n    {difference}")
    shown = "\n".join(wrong[:10])
    assert not wrong, f"{len(wrong)} of {len(cases)} cases came out otherwise:\n{shown}"


@pytest.mark.parametrize("kind", KINDS)
def test_corpus_is_large_enough(kind: str) -> None:
    """Nothing was lost from the files."""
    cases: list[Case] = read_cases(kind)
    assert len(cases) >= LEAST[kind]
    assert len({(case["group"], case["name"]) for case in cases}) == len(cases)
