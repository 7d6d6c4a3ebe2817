"""
The links of one message: what a `type` and its parent say, never the name of a key alone.

``url`` also names pictures, media files, log-in and privacy pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .site import KeepReason, LinkKind, Show, Trail
from .steps import LinkSteps, Scope, make_scope, title_of
from .text import BUTTON_TEXT_LIMIT, TextLimit
from .tree import Changes, decoded, members_of, word

_PICTURES = (
    "image_url",
    "logo_image_url",
    "header_image_url",
    "above_bar_code_image_url",
    "barcode_image_url",
)

_PAYLOAD_LINKS = {
    "coupon": ("coupon_url", LinkKind.COUPON_URL),
    "receipt": ("order_url", LinkKind.ORDER_URL),
    "airline_checkin": ("checkin_url", LinkKind.CHECKIN_URL),
}

_FETCHED_ELEMENTS = {
    "media": (LinkKind.MEDIA, KeepReason.MEDIA),
    "open_graph": (LinkKind.CARD, KeepReason.OPEN_GRAPH),
}


class MessageWalk(LinkSteps):
    """From a message or a menu down to its links."""

    def __init__(self, show: Show, text_limit: TextLimit | None, *, every_place: bool) -> None:
        super().__init__(show, every_place=every_place)
        self._text_limit = text_limit

    def message(self, message: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        """A ``message`` object of the Send API."""
        changes: Changes = {}
        if self._text_limit is not None:
            self.text(message, trail, scope, changes, self._text_limit.value, self._text_limit.size)
        self.mapping(message, "attachment", trail, scope, changes, self._attachment)
        self.sequence(message, "attachments", trail, scope, changes, self._attachment)
        self.mapping(message, "template", trail, scope, changes, self.utility)
        self.sequence(message, "quick_replies", trail, scope, changes, self._quick_reply)
        return changes

    def menu(self, menu: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        """An item of ``persistent_menu``."""
        changes: Changes = {}
        self.sequence(menu, "call_to_actions", trail, scope, changes, self.menu_item)
        return changes

    def menu_item(self, item: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        """An item of ``call_to_actions``: of a menu, or a message of the welcome screen of old."""
        if word(item.get("type")) == "web_url":
            return self._tapped(item, trail, scope, LinkKind.MENU_ITEM)
        changes: Changes = {}
        if "call_to_actions" in item:
            self.deeper(self.sequence, item, "call_to_actions", trail, scope, changes, self.menu_item)
            return changes
        if "message" in item:
            self.mapping(item, "message", trail, scope, changes, self.message)
            return changes
        return self._untapped(item, trail, scope)

    def utility(self, template: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        """A utility template, sent or created: its addresses are part of what Facebook approves."""
        changes: Changes = {}
        self.sequence(template, "components", trail, scope, changes, self._utility_component)
        return changes

    def _attachment(self, attachment: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        changes: Changes = {}
        if word(attachment.get("type")) == "template":
            self.mapping(attachment, "payload", trail, scope, changes, self._template)
        else:
            self.mapping(attachment, "payload", trail, scope, changes, self._media)
        return changes

    def _media(self, payload: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        if "template_type" in payload:
            return self._template(payload, trail, scope)
        changes: Changes = {}
        self.kept(payload, "url", trail, scope, changes, LinkKind.MEDIA, KeepReason.MEDIA)
        return changes

    def _template(self, payload: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        name = word(payload.get("template_type"))
        template = name if isinstance(name, str) else ""
        shared = scope.shared or ("sharable" in payload and _is_set(payload["sharable"]))
        scope = Scope(template, title_of(payload), shared, scope.user_id)
        changes: Changes = {}
        if self._text_limit is not None and template == "button":
            self.text(payload, trail, scope, changes, BUTTON_TEXT_LIMIT, len)
        if template in _PAYLOAD_LINKS:
            key, kind = _PAYLOAD_LINKS[template]
            self.link(payload, key, trail, scope, changes, kind, scope.title, shared=scope.shared)
        inner = scope._replace(shared=True) if _offers_itself(payload) else scope
        self.sequence(payload, "elements", trail, inner, changes, self._element)
        self._buttons(payload, trail, inner, changes)
        self.mapping(payload, "default_action", trail, inner, changes, self._default_action)
        self.mapping(payload, "business_privacy", trail, scope, changes, self._privacy)
        self.sequence(payload, "boarding_pass", trail, scope, changes, self._pictures)
        changes.update(self._pictures(payload, trail, scope))
        return changes

    def _element(self, element: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        changes: Changes = {}
        template, _, shared, user_id = scope
        title = title_of(element)
        shared = shared or _offers_itself(element)
        scope = make_scope((template, title, shared, user_id))
        if self.every_place and "image_url" in element:
            self.kept(element, "image_url", trail, scope, changes, LinkKind.PICTURE, KeepReason.PICTURE)
        if "url" in element:
            kind, reason = _FETCHED_ELEMENTS.get(template, (LinkKind.CARD, KeepReason.UNKNOWN_PLACE))
            self.kept(element, "url", trail, scope, changes, kind, reason)
        if "item_url" in element:
            self.link(element, "item_url", trail, scope, changes, LinkKind.ITEM_URL, title, shared=shared)
        if "default_action" in element:
            self.mapping(element, "default_action", trail, scope, changes, self._default_action)
        if "images" in element:
            self.sequence(element, "images", trail, scope, changes, self._image)
        if "buttons" in element:
            self._buttons(element, trail, scope, changes)
        return changes

    def _buttons(self, parent: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        buttons = parent.get("buttons")
        if type(buttons) is list:
            replaced = self.plain_links(buttons, (trail, "buttons"), scope, self._button)
            if replaced is not buttons:
                changes["buttons"] = replaced
        else:
            self.sequence(parent, "buttons", trail, scope, changes, self._button)

    def _button(self, button: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        if word(button.get("type")) == "web_url":
            return self._tapped(button, trail, scope, LinkKind.BUTTON)
        return self._untapped(button, trail, scope)

    def _tapped(self, button: Mapping[str, Any], trail: Trail, scope: Scope, kind: LinkKind) -> Changes:
        changes: Changes = {}
        title = button.get("title")
        if not isinstance(title, str):
            title = scope.title
        shared = scope.shared
        if "webview_share_button" in button:
            shared = shared or not _is_hidden(button["webview_share_button"])
        if "messenger_extensions" in button and _is_set(button["messenger_extensions"]):
            keep = KeepReason.MESSENGER_EXTENSIONS
            self.link(button, "url", trail, scope, changes, kind, title, keep, shared=shared, extensions=True)
        else:
            self.link(button, "url", trail, scope, changes, kind, title, shared=shared)
        if "fallback_url" in button:
            self.link(button, "fallback_url", trail, scope, changes, LinkKind.FALLBACK_URL, title, shared=shared)
        return changes

    def _untapped(self, button: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        changes: Changes = {}
        if "url" in button:
            log_in = word(button.get("type")) in ("account_link", "account_linking")
            kind = LinkKind.ACCOUNT_LINK if log_in else LinkKind.BUTTON
            reason = KeepReason.ACCOUNT_LINK if log_in else KeepReason.UNKNOWN_PLACE
            self.kept(button, "url", trail, scope, changes, kind, reason)
        if "payload" in button:
            self._payload(button, trail, scope, changes)
        if "share_contents" in button:
            inner = scope._replace(shared=True)
            self.deeper(self.mapping, button, "share_contents", trail, inner, changes, self._share_contents)
        return changes

    def _share_contents(self, contents: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        # Some libraries leave the message out that the platform wants around the attachment.
        if "payload" in contents:
            return self._attachment(contents, trail, scope)
        return self.message(contents, trail, scope)

    def _payload(self, button: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        payload = button.get("payload")
        if isinstance(payload, str) and payload[:8].lower().startswith(("https://", "http://")):
            self.kept(button, "payload", trail, scope, changes, LinkKind.PAYLOAD, KeepReason.OPAQUE)

    def _default_action(self, action: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        # A default action can only open an address, so old code leaves its type out.
        if word(action.get("type", "web_url")) == "web_url":
            return self._tapped(action, trail, scope, LinkKind.DEFAULT_ACTION)
        return self._untapped(action, trail, scope)

    def _image(self, image: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        changes: Changes = {}
        self.kept(image, "url", trail, scope, changes, LinkKind.PICTURE, KeepReason.PICTURE)
        self.mapping(image, "action", trail, scope, changes, self._image_action)
        return changes

    def _image_action(self, action: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        if word(action.get("type")) == "web_url":
            return self._tapped(action, trail, scope, LinkKind.IMAGE_ACTION)
        return self._untapped(action, trail, scope)

    def _quick_reply(self, reply: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        changes = self._pictures(reply, trail, scope)
        self._payload(reply, trail, scope, changes)
        return changes

    def _pictures(self, parent: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        changes: Changes = {}
        for key in _PICTURES:
            if key in parent:
                self.kept(parent, key, trail, scope, changes, LinkKind.PICTURE, KeepReason.PICTURE)
        return changes

    def _privacy(self, privacy: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        changes: Changes = {}
        self.kept(privacy, "url", trail, scope, changes, LinkKind.PRIVACY, KeepReason.PRIVACY)
        return changes

    def _utility_component(self, component: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        changes: Changes = {}
        self.sequence(component, "parameters", trail, scope, changes, self._utility_url)
        self.sequence(component, "buttons", trail, scope, changes, self._utility_url)
        return changes

    def _utility_url(self, holder: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        changes: Changes = {}
        self.kept(holder, "url", trail, scope, changes, LinkKind.UTILITY, KeepReason.UTILITY_TEMPLATE)
        return changes


def _is_set(flag: Any) -> bool:
    return flag not in (None, False, 0, "", "false", "False")


def _is_hidden(share_button: Any) -> bool:
    value = word(share_button)
    return value is None or (isinstance(value, str) and value.lower() == "hide")


def _offers_itself(holder: Mapping[str, Any]) -> bool:
    """A share button without contents of its own passes the element around it to others."""
    buttons = holder.get("buttons")
    if isinstance(buttons, (str, bytes)):
        buttons = decoded(buttons)
    if not isinstance(buttons, (list, tuple)):
        return False
    for button in buttons:
        if type(button) is dict:
            if button.get("type") == "element_share" and not button.get("share_contents"):
                return True
        else:
            members = members_of(button) or {}
            if word(members.get("type")) == "element_share" and not members.get("share_contents"):
                return True
    return False
