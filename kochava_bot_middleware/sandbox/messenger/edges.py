"""The Graph API's edges of a Page other than messages: profile, menus, uploads, personas, threads, subscription."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .buttons import PROFILE_PROPERTIES, check_menu, check_profile
from .fields import text, web_url
from .graph import NO_MATCHING_USER, GraphRefusal, ReceivedCall, refuse_unless
from .marketing import UNSUBSCRIBE, unsubscribe
from .page import APP_ID, SandboxPage
from .rules import check_attachment

Edge = Callable[[ReceivedCall, SandboxPage], dict[str, Any]]
"""Serves one call for a Page."""

_DONE = {"result": "success"}


def messenger_profile(call: ReceivedCall, page: SandboxPage) -> dict[str, Any]:
    """Set, read or delete properties of the Page's profile. Setting overwrites only what is named."""
    # messenger.md 5, `messenger_profile` [PROF].
    if call.method == "GET":
        wanted = _names(call.field("fields")) or sorted(PROFILE_PROPERTIES)
        return {"data": [{name: page.profile[name] for name in wanted if name in page.profile}]}
    if call.method == "DELETE":
        for name in _names(call.field("fields")):
            refuse_unless(name in PROFILE_PROPERTIES, f"param fields must be one of {sorted(PROFILE_PROPERTIES)}.")
            page.profile.pop(name, None)
        return _DONE
    check_profile(call.body, page)
    page.profile.update({name: call.body[name] for name in PROFILE_PROPERTIES & set(call.body)})
    return _DONE


def custom_user_settings(call: ReceivedCall, page: SandboxPage) -> dict[str, Any]:
    """Set, read or delete the menu of one user."""
    # messenger.md 4.22 [MENU]; 6, menu: Instagram has none of single people.
    person_id = str(call.field("psid") or "")
    refuse_unless(not page.instagram, "Instagram has no menus of single people.")
    refuse_unless(person_id in page.people, "No matching user found", subcode=NO_MATCHING_USER)
    if call.method == "GET":
        return {"data": [{"user_level_persistent_menu": page.user_settings.get(person_id, {})}]}
    if call.method == "DELETE":
        page.user_settings.pop(person_id, None)
        return _DONE
    check_menu(call.body.get("persistent_menu"), page)
    page.user_settings[person_id] = {"persistent_menu": call.body["persistent_menu"]}
    return _DONE


def message_attachments(call: ReceivedCall, page: SandboxPage) -> dict[str, Any]:
    """Upload media, by address or as the file of the call."""
    # messenger.md 5, `message_attachments` [SAV, IGAT].
    message = call.body.get("message")
    refuse_unless(isinstance(message, dict) and "attachment" in message, "param message[attachment] is required.")
    assert isinstance(message, dict)
    attachment = message["attachment"]
    is_media = isinstance(attachment, dict) and attachment.get("type") != "template"
    refuse_unless(is_media, "A template cannot be uploaded.")
    check_attachment(attachment, page, has_file=call.has_file)
    attachment_id = page.new_id()
    page.attachment_ids.add(attachment_id)
    return {"attachment_id": attachment_id}


def personas(call: ReceivedCall, page: SandboxPage) -> dict[str, Any]:
    """Create a persona, or list them."""
    # messenger.md 5, `personas` [PER].
    if call.method == "GET":
        return {"data": [{"id": key, **persona} for key, persona in page.personas.items()]}
    text(50)("name", call.body.get("name"), page)
    web_url("profile_picture_url", call.body.get("profile_picture_url"), page)
    persona_id = page.new_id()
    page.personas[persona_id] = {name: call.body[name] for name in ("name", "profile_picture_url")}
    return {"id": persona_id}


def thread_control(call: ReceivedCall, page: SandboxPage) -> dict[str, Any]:
    """Pass a user's thread to another app, release it to none, or take it back; other requests have no effect here."""
    # messenger.md 5, thread control [CR].
    target = call.body.get("target_app_id")
    refuse_unless(target or call.edge != "pass_thread_control", "The parameter target_app_id is required")
    recipient = call.body.get("recipient")
    person_id = str(recipient.get("id", "")) if isinstance(recipient, dict) else ""
    refuse_unless(person_id in page.people, "No matching user found", subcode=NO_MATCHING_USER)
    match call.edge:
        case "pass_thread_control":
            page.thread_owners[person_id] = str(target)
        case "release_thread_control":
            page.thread_owners[person_id] = None
        case "take_thread_control":
            page.thread_owners.pop(person_id, None)
    return {"success": True}


def subscribed_apps(call: ReceivedCall, page: SandboxPage) -> dict[str, Any]:
    """Subscribe the app to fields of the Page's webhooks, or list them; every webhook is delivered in any case."""
    # messenger.md 1, subscription [WH].
    if call.method == "GET":
        is_subscribed = bool(page.subscribed_fields)
        return {"data": [{"id": APP_ID, "subscribed_fields": page.subscribed_fields}] if is_subscribed else []}
    fields = _names(call.field("subscribed_fields"))
    refuse_unless(fields, "The parameter subscribed_fields is required")
    page.subscribed_fields = fields
    return {"success": True}


def _names(fields: Any) -> list[str]:
    if isinstance(fields, str):
        return [name for name in fields.split(",") if name]
    return [str(name) for name in fields or ()]


def user_profile(call: ReceivedCall, page: SandboxPage) -> dict[str, Any]:
    """The members of a user's profile that ``fields`` asks for."""
    # messenger.md 5, `GET /{PSID}` [USR].
    person = page.people.get(call.node)
    if person is None:
        msg = f"Unsupported get request. Object with ID '{call.node}' does not exist"
        raise GraphRefusal(msg, subcode=33, kind="GraphMethodException")
    wanted = _names(call.field("fields")) or sorted(person.profile)
    return {**{name: person.profile[name] for name in wanted if name in person.profile}, "id": person.user_id}


EDGES: dict[tuple[str, str], Edge] = {
    ("POST", "message_attachments"): message_attachments,
    **{("POST", f"{verb}_thread_control"): thread_control for verb in ("pass", "release", "take", "request", "extend")},
    **{(method, "messenger_profile"): messenger_profile for method in ("GET", "POST", "DELETE")},
    **{(method, "custom_user_settings"): custom_user_settings for method in ("GET", "POST", "DELETE")},
    ("POST", UNSUBSCRIBE): unsubscribe,
    **{(method, "personas"): personas for method in ("GET", "POST")},
    **{(method, "subscribed_apps"): subscribed_apps for method in ("GET", "POST")},
}
"""The edges by method and name."""
