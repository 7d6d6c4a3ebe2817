"""
A shop in Django: an order that is paid becomes a Purchase of the person who came from the bot.
Run it with a bot.toml in the working directory: python django_shop.py

The bot's buttons lead to the shop with the person's id; the shop keeps it with the order.
"""

import json
from wsgiref.simple_server import make_server

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from kochava_bot_middleware import StoreError, SyncKochava, TrackingError
from kochava_bot_middleware.settings import from_toml

kochava = SyncKochava.from_dict(from_toml("bot.toml")["kochava"])  # with the same store as the bot


@csrf_exempt
@require_POST
def order_paid(request: HttpRequest) -> JsonResponse:
    order = json.loads(request.body)
    try:
        data = {"sum": order["sum"], "currency": order["currency"]}
        # When it returns, the event is durable. The payment provider may call again: an id counts once.
        kochava.track("Purchase", data, user_id=order["user_id"], id=order["id"])
    except TrackingError as exc:
        return JsonResponse({"error": str(exc)}, status=400)
    except StoreError:
        return JsonResponse({"error": "repeat it later"}, status=503)
    return JsonResponse({"recorded": True})


urlpatterns = [path("order-paid", order_paid)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["localhost", "127.0.0.1"], SECRET_KEY="for the example")
django.setup()
application = get_wsgi_application()

if __name__ == "__main__":
    with make_server("127.0.0.1", 8080, application) as server:
        print("listening on port 8080", flush=True)
        server.serve_forever()
