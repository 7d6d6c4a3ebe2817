"""
The links of one message: what a `type` and its parent say, never the name of a key alone.

``url`` also names pictures, media files, log-in and privacy pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .link_site import KeepReason, LinkKind, Path
from .link_steps import LinkSteps, Scope, Visit, title_of
from .link_tree import Changes, word
from .text_links import BUTTON_TEXT_LIMIT, TextLimit

_PICTURES = (
    "image_url",
    "logo_image_url",
    "header_image_url",
    "above_bar_code_image_url",
    "barcode_image_url",
)

_MODIFIERS = frozenset({"webview_share_button", "messenger_extensions", "fallback_url"})

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
    """
    From a message or a menu down to its links.
    """

    def __init__(self, visit: Visit, text_limit: TextLimit | None, *, every_place: bool) -> None:
        super().__init__(visit, every_place=every_place)
        self._text_limit = text_limit

    def message(self, message: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        """
        A ``message`` object of the Send API.
        """
        changes: Changes = {}
        if self._text_limit is not None:
            self.text(message, path, scope, changes, self._text_limit.value, self._text_limit.size)
        self.mapping(message, "attachment", path, scope, changes, self._attachment)
        self.sequence(message, "attachments", path, scope, changes, self._attachment)
        self.mapping(message, "template", path, scope, changes, self.utility)
        self.sequence(message, "quick_replies", path, scope, changes, self._quick_reply)
        return changes

    def menu(self, menu: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        """
        An item of ``persistent_menu``, or a menu item that has items of its own.
        """
        changes: Changes = {}
        self.sequence(menu, "call_to_actions", path, scope, changes, self.menu_item)
        return changes

    def menu_item(self, item: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        """
        An item of ``call_to_actions``.
        """
        if word(item.get("type")) == "web_url":
            return self._tapped(item, path, scope, LinkKind.MENU_ITEM)
        if "call_to_actions" in item:
            return self.menu(item, path, scope)
        return self._untapped(item, path, scope)

    def utility(self, template: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        """
        A utility template, sent or created: its addresses are part of what Facebook approves.
        """
        changes: Changes = {}
        self.sequence(template, "components", path, scope, changes, self._utility_component)
        return changes

    def _attachment(self, attachment: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        changes: Changes = {}
        if word(attachment.get("type")) == "template":
            self.mapping(attachment, "payload", path, scope, changes, self._template)
        else:
            self.mapping(attachment, "payload", path, scope, changes, self._media)
        return changes

    def _media(self, payload: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        if "template_type" in payload:
            return self._template(payload, path, scope)
        changes: Changes = {}
        self.kept(payload, "url", path, scope, changes, LinkKind.MEDIA, KeepReason.MEDIA)
        return changes

    def _template(self, payload: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        name = word(payload.get("template_type"))
        template = name if isinstance(name, str) else ""
        scope = Scope(template, title_of(payload), scope.shared, scope.user_id)
        changes: Changes = {}
        if self._text_limit is not None and template == "button":
            self.text(payload, path, scope, changes, BUTTON_TEXT_LIMIT, len)
        if template in _PAYLOAD_LINKS:
            key, kind = _PAYLOAD_LINKS[template]
            self.link(payload, key, path, scope, changes, kind, scope.title, shared=scope.shared)
        inner = scope._replace(shared=True) if _offers_itself(payload.get("buttons")) else scope
        self.sequence(payload, "elements", path, inner, changes, self._element)
        self.sequence(payload, "buttons", path, inner, changes, self._button)
        self.mapping(payload, "default_action", path, inner, changes, self._default_action)
        self.mapping(payload, "business_privacy", path, scope, changes, self._privacy)
        self.sequence(payload, "boarding_pass", path, scope, changes, self._pictures)
        changes.update(self._pictures(payload, path, scope))
        return changes

    def _element(self, element: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        changes: Changes = {}
        title = title_of(element)
        shared = scope.shared or _offers_itself(element.get("buttons"))
        scope = Scope(scope.template, title, shared, scope.user_id)
        if "image_url" in element:
            self.kept(element, "image_url", path, scope, changes, LinkKind.PICTURE, KeepReason.PICTURE)
        if "url" in element:
            kind, reason = _FETCHED_ELEMENTS.get(scope.template, (LinkKind.CARD, KeepReason.UNKNOWN_PLACE))
            self.kept(element, "url", path, scope, changes, kind, reason)
        if "item_url" in element:
            self.link(element, "item_url", path, scope, changes, LinkKind.ITEM_URL, title, shared=shared)
        if "default_action" in element:
            self.mapping(element, "default_action", path, scope, changes, self._default_action)
        if "images" in element:
            self.sequence(element, "images", path, scope, changes, self._image)
        if "buttons" in element:
            self.sequence(element, "buttons", path, scope, changes, self._button)
        return changes

    def _button(self, button: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        kind = button.get("type")
        if kind == "web_url" and _MODIFIERS.isdisjoint(button):
            # Nearly all buttons: the same as below without what only modifiers need.
            return self.plain_link(button, path, scope)
        if word(kind) == "web_url":
            return self._tapped(button, path, scope, LinkKind.BUTTON)
        return self._untapped(button, path, scope)

    def _tapped(self, button: Mapping[str, Any], path: Path, scope: Scope, kind: LinkKind) -> Changes:
        changes: Changes = {}
        title = button.get("title")
        if not isinstance(title, str):
            title = scope.title
        shared = scope.shared
        if "webview_share_button" in button:
            shared = shared or word(button["webview_share_button"]) not in (None, "hide")
        if "messenger_extensions" in button and _is_set(button["messenger_extensions"]):
            keep = KeepReason.MESSENGER_EXTENSIONS
            self.link(button, "url", path, scope, changes, kind, title, keep, shared=shared, extensions=True)
        else:
            self.link(button, "url", path, scope, changes, kind, title, shared=shared)
        if "fallback_url" in button:
            self.link(button, "fallback_url", path, scope, changes, LinkKind.FALLBACK_URL, title, shared=shared)
        return changes

    def _untapped(self, button: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        changes: Changes = {}
        if "url" in button:
            log_in = word(button.get("type")) in ("account_link", "account_linking")
            kind = LinkKind.ACCOUNT_LINK if log_in else LinkKind.BUTTON
            reason = KeepReason.ACCOUNT_LINK if log_in else KeepReason.UNKNOWN_PLACE
            self.kept(button, "url", path, scope, changes, kind, reason)
        if "payload" in button:
            self._payload(button, path, scope, changes)
        if "share_contents" in button:
            self.mapping(button, "share_contents", path, scope._replace(shared=True), changes, self.message)
        return changes

    def _payload(self, button: Mapping[str, Any], path: Path, scope: Scope, changes: Changes) -> None:
        payload = button.get("payload")
        if isinstance(payload, str) and payload.startswith(("https://", "http://")):
            self.kept(button, "payload", path, scope, changes, LinkKind.PAYLOAD, KeepReason.OPAQUE)

    def _default_action(self, action: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        # A default action can only open an address, so old code leaves its type out.
        if word(action.get("type", "web_url")) == "web_url":
            return self._tapped(action, path, scope, LinkKind.DEFAULT_ACTION)
        return self._untapped(action, path, scope)

    def _image(self, image: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        changes: Changes = {}
        self.kept(image, "url", path, scope, changes, LinkKind.PICTURE, KeepReason.PICTURE)
        self.mapping(image, "action", path, scope, changes, self._image_action)
        return changes

    def _image_action(self, action: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        if word(action.get("type")) == "web_url":
            return self._tapped(action, path, scope, LinkKind.IMAGE_ACTION)
        return self._untapped(action, path, scope)

    def _quick_reply(self, reply: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        changes = self._pictures(reply, path, scope)
        self._payload(reply, path, scope, changes)
        return changes

    def _pictures(self, parent: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        changes: Changes = {}
        for key in _PICTURES:
            if key in parent:
                self.kept(parent, key, path, scope, changes, LinkKind.PICTURE, KeepReason.PICTURE)
        return changes

    def _privacy(self, privacy: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        changes: Changes = {}
        self.kept(privacy, "url", path, scope, changes, LinkKind.PRIVACY, KeepReason.PRIVACY)
        return changes

    def _utility_component(self, component: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        changes: Changes = {}
        self.sequence(component, "parameters", path, scope, changes, self._utility_url)
        self.sequence(component, "buttons", path, scope, changes, self._utility_url)
        return changes

    def _utility_url(self, holder: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        changes: Changes = {}
        self.kept(holder, "url", path, scope, changes, LinkKind.UTILITY, KeepReason.UTILITY_TEMPLATE)
        return changes


def _is_set(flag: Any) -> bool:
    return flag not in (None, False, 0, "", "false", "False")


def _offers_itself(buttons: Any) -> bool:
    """
    A share button without contents of its own passes the element around it to others.
    """
    if not isinstance(buttons, (list, tuple)):
        return False
    for button in buttons:
        if type(button) is dict and button.get("type") == "element_share" and not button.get("share_contents"):
            return True
    return False
