"""
Finds the links of one message or menu.

What an address is depends on the ``type`` of the object and on its parents, not on the key: ``url`` is also the key of
pictures, media files, log-in pages and privacy policies.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from .containers import Changes, decoded, members_of, value_of
from .link import KeepReason, LinkKind, Replace, Scope, Trail
from .text import BUTTON_TEXT_LIMIT, TextLimit
from .walk import LinkWalk

_PICTURES = (
    "image_url",
    "logo_image_url",
    "header_image_url",
    "above_bar_code_image_url",
    "barcode_image_url",
)

_TEMPLATE_LINKS = {
    "coupon": ("coupon_url", LinkKind.COUPON_URL),
    "receipt": ("order_url", LinkKind.ORDER_URL),
    "airline_checkin": ("checkin_url", LinkKind.CHECKIN_URL),
}
"""Links of a whole template, by its type."""

_ELEMENT_URLS = {
    "media": (LinkKind.MEDIA, KeepReason.MEDIA),
    "open_graph": (LinkKind.CARD, KeepReason.OPEN_GRAPH),
}
"""What ``url`` of an element is, by the type of its template."""

_make_scope = functools.partial(tuple.__new__, Scope)
"""A `Scope` from a tuple of its fields, in half the time of a call."""


class MessageWalk(LinkWalk):
    """Walks through messages and menus."""

    def __init__(self, replace: Replace, text_limit: TextLimit | None, *, every_place: bool) -> None:
        super().__init__(replace, every_place=every_place)
        self._text_limit = text_limit

    def message(self, message: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        """A ``message`` object of the Send API."""
        changes: Changes = {}
        if self._text_limit is not None:
            self.text(message, trail, scope, changes, self._text_limit.value, self._text_limit.size)
        self.into_object(message, "attachment", trail, scope, changes, self._attachment)
        self.into_array(message, "attachments", trail, scope, changes, self._attachment)
        self.into_object(message, "template", trail, scope, changes, self.utility_template)
        self.into_array(message, "quick_replies", trail, scope, changes, self._quick_reply)
        return changes

    def menu_item(self, item: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        """An item of ``call_to_actions``: of a menu, or a message of a welcome screen."""
        if value_of(item.get("type")) == "web_url":
            return self._url_button(item, trail, scope, LinkKind.MENU_ITEM)
        changes: Changes = {}
        if "call_to_actions" in item:
            self.nested(self.into_array, item, "call_to_actions", trail, scope, changes, self.menu_item)
            return changes
        if "message" in item:
            self.into_object(item, "message", trail, scope, changes, self.message)
            return changes
        return self._other_button(item, trail, scope)

    def utility_template(self, template: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        """A utility template, sent or created: its addresses are part of what Facebook approves."""
        url = self.only(self.fixed_link, "url", LinkKind.UTILITY, KeepReason.UTILITY_TEMPLATE)

        def component(component: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
            changes: Changes = {}
            self.into_array(component, "parameters", trail, scope, changes, url)
            self.into_array(component, "buttons", trail, scope, changes, url)
            return changes

        changes: Changes = {}
        self.into_array(template, "components", trail, scope, changes, component)
        return changes

    def _attachment(self, attachment: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        is_template = value_of(attachment.get("type")) == "template"
        changes: Changes = {}
        self.into_object(attachment, "payload", trail, scope, changes, self._template if is_template else self._media)
        return changes

    def _media(self, payload: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        if "template_type" in payload:
            return self._template(payload, trail, scope)
        changes: Changes = {}
        self.fixed_link(payload, "url", trail, scope, changes, LinkKind.MEDIA, KeepReason.MEDIA)
        return changes

    def _template(self, payload: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        name = value_of(payload.get("template_type"))
        template = name if isinstance(name, str) else ""
        shared = scope.shared or ("sharable" in payload and _is_set(payload["sharable"]))
        scope = Scope(template, _title_of(payload), shared, scope.user_id)
        changes: Changes = {}
        if self._text_limit is not None and template == "button":
            self.text(payload, trail, scope, changes, BUTTON_TEXT_LIMIT, len)
        if template in _TEMPLATE_LINKS:
            key, kind = _TEMPLATE_LINKS[template]
            self.tappable_link(payload, key, trail, scope, changes, kind, scope.title, shared=scope.shared)
        inner = scope._replace(shared=True) if _shares_its_element(payload) else scope
        self.into_array(payload, "elements", trail, inner, changes, self._element)
        self.buttons(payload, trail, inner, changes, self._button)
        self.into_object(payload, "default_action", trail, inner, changes, self._default_action)
        if "business_privacy" in payload:
            privacy = self.only(self.fixed_link, "url", LinkKind.PRIVACY, KeepReason.PRIVACY)
            self.into_object(payload, "business_privacy", trail, scope, changes, privacy)
        self.into_array(payload, "boarding_pass", trail, scope, changes, self._pictures)
        changes.update(self._pictures(payload, trail, scope))
        return changes

    def _element(self, element: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        changes: Changes = {}
        template, _, shared, user_id = scope
        title = _title_of(element)
        shared = shared or _shares_its_element(element)
        scope = _make_scope((template, title, shared, user_id))
        if self.every_place and "image_url" in element:
            self.fixed_link(element, "image_url", trail, scope, changes, LinkKind.PICTURE, KeepReason.PICTURE)
        if "url" in element:
            kind, reason = _ELEMENT_URLS.get(template, (LinkKind.CARD, KeepReason.UNKNOWN_PLACE))
            self.fixed_link(element, "url", trail, scope, changes, kind, reason)
        if "item_url" in element:
            self.tappable_link(element, "item_url", trail, scope, changes, LinkKind.ITEM_URL, title, shared=shared)
        if "default_action" in element:
            self.into_object(element, "default_action", trail, scope, changes, self._default_action)
        if "images" in element:
            self.into_array(element, "images", trail, scope, changes, self._image)
        if "buttons" in element:
            self.buttons(element, trail, scope, changes, self._button)
        return changes

    def _button(
        self, button: Mapping[str, Any], trail: Trail, scope: Scope, kind: LinkKind = LinkKind.BUTTON
    ) -> Changes:
        """A button, or an action of an element or image."""
        if value_of(button.get("type")) == "web_url":
            return self._url_button(button, trail, scope, kind)
        return self._other_button(button, trail, scope)

    def _default_action(self, action: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        # A default action can only open an address, so old code does not give its type.
        if value_of(action.get("type", "web_url")) == "web_url":
            return self._url_button(action, trail, scope, LinkKind.DEFAULT_ACTION)
        return self._other_button(action, trail, scope)

    def _url_button(self, button: Mapping[str, Any], trail: Trail, scope: Scope, kind: LinkKind) -> Changes:
        changes: Changes = {}
        title = button.get("title")
        if not isinstance(title, str):
            title = scope.title
        shared = scope.shared
        if "webview_share_button" in button:
            share_button = value_of(button["webview_share_button"])
            is_hidden = share_button is None or (isinstance(share_button, str) and share_button.lower() == "hide")
            shared = shared or not is_hidden
        extensions = "messenger_extensions" in button and _is_set(button["messenger_extensions"])
        keep = KeepReason.MESSENGER_EXTENSIONS if extensions else None
        self.tappable_link(
            button, "url", trail, scope, changes, kind, title, keep, shared=shared, extensions=extensions
        )
        if "fallback_url" in button:
            kind = LinkKind.FALLBACK_URL
            self.tappable_link(button, "fallback_url", trail, scope, changes, kind, title, shared=shared)
        return changes

    def _other_button(self, button: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        changes: Changes = {}
        if "url" in button:
            log_in = value_of(button.get("type")) in ("account_link", "account_linking")
            kind = LinkKind.ACCOUNT_LINK if log_in else LinkKind.BUTTON
            reason = KeepReason.ACCOUNT_LINK if log_in else KeepReason.UNKNOWN_PLACE
            self.fixed_link(button, "url", trail, scope, changes, kind, reason)
        self._payload(button, trail, scope, changes)
        if "share_contents" in button:
            inner = scope._replace(shared=True)
            self.nested(self.into_object, button, "share_contents", trail, inner, changes, self._share_contents)
        return changes

    def _share_contents(self, contents: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        # Some libraries leave out the message around the attachment.
        if "payload" in contents:
            return self._attachment(contents, trail, scope)
        return self.message(contents, trail, scope)

    def _payload(self, button: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        payload = button.get("payload")
        if isinstance(payload, str) and payload[:8].lower().startswith(("https://", "http://")):
            self.fixed_link(button, "payload", trail, scope, changes, LinkKind.PAYLOAD, KeepReason.OPAQUE)

    def _image(self, image: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        changes: Changes = {}
        self.fixed_link(image, "url", trail, scope, changes, LinkKind.PICTURE, KeepReason.PICTURE)
        self.into_object(image, "action", trail, scope, changes, self._image_action)
        return changes

    def _image_action(self, action: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        return self._button(action, trail, scope, LinkKind.IMAGE_ACTION)

    def _quick_reply(self, reply: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        changes = self._pictures(reply, trail, scope)
        self._payload(reply, trail, scope, changes)
        return changes

    def _pictures(self, parent: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        changes: Changes = {}
        for key in _PICTURES:
            if key in parent:
                self.fixed_link(parent, key, trail, scope, changes, LinkKind.PICTURE, KeepReason.PICTURE)
        return changes


def _title_of(node: Mapping[str, Any]) -> str:
    title = node.get("title")
    return title if isinstance(title, str) else ""


def _is_set(flag: Any) -> bool:
    return flag not in (None, False, 0, "", "false", "False")


def _shares_its_element(holder: Mapping[str, Any]) -> bool:
    """Whether it has a share button without contents of its own, which shares the element around it."""
    buttons = holder.get("buttons")
    if isinstance(buttons, (str, bytes)):
        buttons = decoded(buttons)
    if not isinstance(buttons, (list, tuple)):
        return False
    for button in buttons:
        if type(button) is dict:
            members: Mapping[str, Any] = button
            button_type = button.get("type")
        else:
            members = members_of(button) or {}
            button_type = value_of(members.get("type"))
        if button_type == "element_share" and not members.get("share_contents"):
            return True
    return False
