"""
Test a bot without Facebook and without Kochava: both come along as real servers on this machine.

Run it: python test_your_bot.py
"""

import asyncio

from aiohttp.test_utils import TestServer

from kochava_bot_middleware import Event, KochavaMiddleware, MessengerBot, Reply
from kochava_bot_middleware.testing import LocalKochava, LocalMessenger


async def main() -> None:
    messenger = LocalMessenger(app_secret="secret", verify_token="verify", page_tokens={"token": "1001"})
    kochava = LocalKochava(app_ids=["kotest"])
    async with messenger, kochava:
        bot = MessengerBot.from_dict(
            {
                "page_access_token": "token",
                "app_secret": "secret",
                "verify_token": "verify",
                "graph_url": messenger.url,
            }
        )
        bot.add_middleware(
            KochavaMiddleware.from_dict(
                {
                    "kochava_app_id": "kotest",
                    "store": "memory://",
                    "wire": {"base_url": kochava.url},
                }
            )
        )

        @bot.on_message("hello")
        async def hello(event: Event, reply: Reply) -> None:
            await reply.text("Hello, you!")

        async with TestServer(bot.app()) as server:
            messenger.webhook_url = str(server.make_url("/webhook"))
            person = messenger.person()
            await person.says("hello")
            assert (await person.next_message()).text == "Hello, you!"
            (event,) = await kochava.received(1)
            assert event.name == "Message"
    print("the bot answered, and Kochava knows")


if __name__ == "__main__":
    asyncio.run(main())
