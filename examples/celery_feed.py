"""
Events from Celery tasks: each process of the worker has a background thread of its own, begun at its first event.
Run it with a bot.toml in the working directory: celery --app celery_feed worker

In the shop: celery_feed.parcel_left.delay(user_id="5551", order_id="order-881", left_at=time.time())
"""

from typing import Any

from celery import Celery

from kochava_bot_middleware import StoreError, SyncKochava
from kochava_bot_middleware.settings import from_toml

app = Celery("shop", broker="redis://localhost")
kochava = SyncKochava.from_dict(from_toml("bot.toml")["kochava"])  # with the same store as the bot


@app.task(bind=True, acks_late=True, max_retries=None, default_retry_delay=30)
def parcel_left(self: Any, *, user_id: str, order_id: str, left_at: float) -> None:
    try:
        # When it returns, the event is durable. A task that runs twice counts once, by the id. One that runs late, or
        # again after an outage, says by the time when it happened.
        kochava.track("Parcel Left", {"order_id": order_id}, user_id=user_id, id=order_id, time=left_at)
    except StoreError as exc:
        raise self.retry(exc=exc) from exc
