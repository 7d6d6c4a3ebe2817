"""
Finds the links of one message or menu.

What an address is depends on the ``type`` of the object and on its parents, not on the key: ``url`` is also the key of
pictures, media files, log-in pages and privacy policies.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from .copy_on_write import Changes, decoded, map_array, map_object, members_of, value_of
from .link import KeepReason, LinkKind, Replace, Scope, Trail
from .walk import BUTTON_TEXT_LIMIT, LinkWalk, TextLimit, visit_member

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

_make_scope = partial(tuple.__new__, Scope)
"""A `Scope` from a tuple of its fields, in half the time of a call."""


class MessageWalk(LinkWalk):
    """Walks through messages and menus."""

    def __init__(self, replace: Replace, text_limit: TextLimit | None, *, every_place: bool) -> None:
        super().__init__(replace, every_place=every_place)
        self._text_limit = text_limit

    def message(self, message: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        """A ``message`` object of the Send API."""
        if self._text_limit is not None:
            self.text(message, trail, scope, changes, self._text_limit.value, self._text_limit.size)
        if "attachment" in message:
            visit_member(map_object, "attachment", message, trail, scope, changes, self._attachment)
        if "attachments" in message:
            visit_member(map_array, "attachments", message, trail, scope, changes, self._attachment)
        if "template" in message:
            visit_member(map_object, "template", message, trail, scope, changes, self.utility_template)
        if "quick_replies" in message:
            visit_member(map_array, "quick_replies", message, trail, scope, changes, self._quick_reply)

    def menu_item(self, item: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        """An item of ``call_to_actions``: of a menu, or a message of a welcome screen."""
        if value_of(item.get("type")) == "web_url":
            self._url_button(item, trail, scope, changes, LinkKind.MENU_ITEM)
        elif "call_to_actions" in item:
            self.nested(visit_member, map_array, "call_to_actions", item, trail, scope, changes, self.menu_item)
        elif "message" in item:
            visit_member(map_object, "message", item, trail, scope, changes, self.message)
        else:
            self._other_button(item, trail, scope, changes)

    def utility_template(self, template: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        """A utility template, sent or created: its addresses are part of what Facebook approves."""
        url = partial(self.fixed_link, "url", kind=LinkKind.UTILITY, reason=KeepReason.UTILITY_TEMPLATE)

        def component(component: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
            visit_member(map_array, "parameters", component, trail, scope, changes, url)
            visit_member(map_array, "buttons", component, trail, scope, changes, url)

        visit_member(map_array, "components", template, trail, scope, changes, component)

    def _attachment(self, attachment: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        payload = self._template if value_of(attachment.get("type")) == "template" else self._media
        visit_member(map_object, "payload", attachment, trail, scope, changes, payload)

    def _media(self, payload: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        if "template_type" in payload:
            self._template(payload, trail, scope, changes)
        else:
            self.fixed_link("url", payload, trail, scope, changes, LinkKind.MEDIA, KeepReason.MEDIA)

    def _template(self, payload: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        name = value_of(payload.get("template_type"))
        template = name if isinstance(name, str) else ""
        shared = scope.shared or ("sharable" in payload and _is_set(payload["sharable"]))
        scope = Scope(template, _title_of(payload), shared, scope.user_id)
        if self._text_limit is not None and template == "button":
            self.text(payload, trail, scope, changes, BUTTON_TEXT_LIMIT, len)
        if template in _TEMPLATE_LINKS:
            key, kind = _TEMPLATE_LINKS[template]
            self.tappable_link(key, payload, trail, scope, changes, kind, scope.title, shared=scope.shared)
        inner = scope._replace(shared=True) if _shares_its_element(payload) else scope
        visit_member(map_array, "elements", payload, trail, inner, changes, self._element)
        self.buttons(payload, trail, inner, changes, self._button)
        visit_member(map_object, "default_action", payload, trail, inner, changes, self._default_action)
        if "business_privacy" in payload:
            privacy = partial(self.fixed_link, "url", kind=LinkKind.PRIVACY, reason=KeepReason.PRIVACY)
            visit_member(map_object, "business_privacy", payload, trail, scope, changes, privacy)
        visit_member(map_array, "boarding_pass", payload, trail, scope, changes, self._pictures)
        self._pictures(payload, trail, scope, changes)

    def _element(self, element: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        template, _, shared, user_id = scope
        title = _title_of(element)
        shared = shared or _shares_its_element(element)
        scope = _make_scope((template, title, shared, user_id))
        if self.every_place and "image_url" in element:
            self.fixed_link("image_url", element, trail, scope, changes, LinkKind.PICTURE, KeepReason.PICTURE)
        if "url" in element:
            kind, reason = _ELEMENT_URLS.get(template, (LinkKind.CARD, KeepReason.UNKNOWN_PLACE))
            self.fixed_link("url", element, trail, scope, changes, kind, reason)
        if "item_url" in element:
            self.tappable_link("item_url", element, trail, scope, changes, LinkKind.ITEM_URL, title, shared=shared)
        if "default_action" in element:
            visit_member(map_object, "default_action", element, trail, scope, changes, self._default_action)
        if "images" in element:
            visit_member(map_array, "images", element, trail, scope, changes, self._image)
        if "buttons" in element:
            self.buttons(element, trail, scope, changes, self._button)

    def _button(
        self, button: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes, kind: LinkKind = LinkKind.BUTTON
    ) -> None:
        """A button, or an action of an element or image."""
        if value_of(button.get("type")) == "web_url":
            self._url_button(button, trail, scope, changes, kind)
        else:
            self._other_button(button, trail, scope, changes)

    def _default_action(self, action: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        # A default action can only open an address, so old code does not give its type.
        if value_of(action.get("type", "web_url")) == "web_url":
            self._url_button(action, trail, scope, changes, LinkKind.DEFAULT_ACTION)
        else:
            self._other_button(action, trail, scope, changes)

    def _url_button(
        self, button: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes, kind: LinkKind
    ) -> None:
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
            "url", button, trail, scope, changes, kind, title, keep, shared=shared, extensions=extensions
        )
        if "fallback_url" in button:
            kind = LinkKind.FALLBACK_URL
            self.tappable_link("fallback_url", button, trail, scope, changes, kind, title, shared=shared)

    def _other_button(self, button: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        if "url" in button:
            log_in = value_of(button.get("type")) in ("account_link", "account_linking")
            kind = LinkKind.ACCOUNT_LINK if log_in else LinkKind.BUTTON
            reason = KeepReason.ACCOUNT_LINK if log_in else KeepReason.UNKNOWN_PLACE
            self.fixed_link("url", button, trail, scope, changes, kind, reason)
        self._payload(button, trail, scope, changes)
        if "share_contents" in button:
            inner = scope._replace(shared=True)
            self.nested(visit_member, map_object, "share_contents", button, trail, inner, changes, self._share_contents)

    def _share_contents(self, contents: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        # Some libraries leave out the message around the attachment.
        if "payload" in contents:
            self._attachment(contents, trail, scope, changes)
        else:
            self.message(contents, trail, scope, changes)

    def _payload(self, button: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        payload = button.get("payload")
        if isinstance(payload, str) and payload[:8].lower().startswith(("https://", "http://")):
            self.fixed_link("payload", button, trail, scope, changes, LinkKind.PAYLOAD, KeepReason.OPAQUE)

    def _image(self, image: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        self.fixed_link("url", image, trail, scope, changes, LinkKind.PICTURE, KeepReason.PICTURE)
        action = partial(self._button, kind=LinkKind.IMAGE_ACTION)
        visit_member(map_object, "action", image, trail, scope, changes, action)

    def _quick_reply(self, reply: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        self._pictures(reply, trail, scope, changes)
        self._payload(reply, trail, scope, changes)

    def _pictures(self, parent: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        for key in _PICTURES:
            if key in parent:
                self.fixed_link(key, parent, trail, scope, changes, LinkKind.PICTURE, KeepReason.PICTURE)


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
