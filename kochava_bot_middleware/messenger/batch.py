"""
The answer to a Graph batch: one item for each request, each with a status of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import attrs
import orjson

from ..exceptions import SendError
from .graph_errors import error_from_answer, is_refusal, no_answer


@attrs.frozen(kw_only=True)
class BatchItem:
    """
    What became of one request of a batch.

    Attributes:
        status: HTTP status of its own; ``None`` when the batch ended before it was answered.
        body: The decoded answer; ``None`` when there is none, or none that is JSON.
        error: What the request alone would have raised; ``None`` for a success.
    """

    status: int | None
    body: Any = attrs.field(default=None, repr=False)
    error: SendError | None = None

    @classmethod
    def of(cls, answer: Any) -> Self:
        """
        Read one item. Facebook gives ``null`` for a request that it did not finish in time.
        """
        status = answer.get("code") if isinstance(answer, Mapping) else None
        if not isinstance(status, int):
            return cls(status=None, error=no_answer("the batch ended first"))
        body = _decoded(answer.get("body"))
        error = error_from_answer(status, body) if is_refusal(status, body) else None
        return cls(status=status, body=body, error=error)


def batch_items(answer: Any) -> list[BatchItem]:
    """
    What became of each request, in the order of the requests; empty when *answer* is not that of a batch.
    """
    return [BatchItem.of(item) for item in answer] if isinstance(answer, list) else []


def _decoded(body: Any) -> Any:
    if not isinstance(body, str):
        return body
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
