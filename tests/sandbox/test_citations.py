"""The rules of the local servers name the facts that they follow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kochava_bot_middleware.sandbox import kochava, messenger

SERVERS = [(kochava, "kochava.md"), (messenger, "messenger.md")]
MODULES = [
    (kochava, "kochava.md", "fields"),
    (kochava, "kochava.md", "rules"),
    (messenger, "messenger.md", "buttons"),
    (messenger, "messenger.md", "edges"),
    (messenger, "messenger.md", "rules"),
    (messenger, "messenger.md", "templates"),
]


def text_of(server: object, pattern: str) -> str:
    """The modules of a server; comments of several lines are one line."""
    folder = Path(str(getattr(server, "__file__", ""))).parent
    texts = [path.read_text() for path in sorted(folder.glob(f"{pattern}.py")) if path.name != "__init__.py"]
    return re.sub(r"\n *# (?!\w+\.md)", " ", "\n".join(texts))


@pytest.mark.parametrize(("server", "facts"), SERVERS)
def test_each_source_that_a_rule_cites_has_its_address(server: object, facts: str) -> None:
    """In the table of the package; and none is there that no rule cites."""
    lines = [line for line in text_of(server, "*").splitlines() if facts in line]
    cited = {key for line in lines for keys in re.findall(r"\[([A-Z0-9, ]+)\]", line) for key in keys.split(", ")}
    listed = set(re.findall(r"^([A-Z0-9]+) {2,}\S", server.__doc__ or "", re.MULTILINE))
    assert listed == cited


@pytest.mark.parametrize(("server", "facts", "module"), MODULES)
def test_each_function_that_refuses_cites_its_fact(server: object, facts: str, module: str) -> None:
    """Those that only combine other checks need not."""
    functions = re.split(r"^(?=def )", text_of(server, module), flags=re.MULTILINE)[1:]
    refusing = [text for text in functions if "refuse_unless(" in text.partition("\n")[2]]
    bare = [text.partition("(")[0] for text in refusing if facts not in text]
    assert [] == [name for name in bare if name != "def _refuse_if"]
