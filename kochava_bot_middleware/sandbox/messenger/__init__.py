"""
The local Messenger; it shares no code with what it checks.

Each rule cites the fact that it follows: the section and row of the table of facts, ``messenger.md``, and in brackets
the page that states it. ``B`` is developers.facebook.com/documentation/business-messaging/messenger-platform, ``I`` is
developers.facebook.com/documentation/business-messaging/instagram-messaging, ``O`` is
developers.facebook.com/docs/messenger-platform.

=======  ========================================================================
BBOT     github.com/Charca/bootbot/issues/174
BM694    github.com/botman/botman/issues/694
BT       B/send-messages/template/button
BP22     github.com/botpress/botpress-messenger/issues/22
BTN      B/send-messages/buttons
CFB      B/send-messages/templates/customer-feedback-template
CPN      B/send-messages/template/coupon
CR       B/conversation-routing
DLV      B/webhooks/webhook-events/message-deliveries
ECHO     B/webhooks/webhook-events/message-echoes
ERRO     O/reference/send-api/error-codes
GEN      B/send-messages/template/generic
ICE      B/reference/ice-breakers
IGAT     I/features/attachment-upload
IGB      I/button-template
IGCL     I/changelog/rss
IGG      I/generic-template
IGP      I/product-template
IGPR     I/private-replies
IGQ      I/features/quick-replies
IGS      I/features/send-message
IGWH     I/webhooks
IMG      B/send-messages/template/image-grid
MED      B/send-messages/template/media
MENU     B/send-messages/persistent-menu
PER      B/send-messages/personas
PROD     B/send-messages/template/product
PROF     B/reference/messenger-profile-api
QR       B/send-messages/quick-replies
RCP      B/send-messages/template/receipt
SACT     B/send-messages/sender-actions
SAPI     O/reference/send-api
SAV      B/send-messages/saving-assets
SEC      developers.facebook.com/docs/graph-api/guides/secure-requests
SND      B/send-messages
STK      B/send-messages/sticker-api
URL      B/send-messages/buttons/url
USR      B/identity/user-profile
UTL      B/send-messages/utility-messages
WH       B/webhooks
WL       B/reference/domain-whitelisting
=======  ========================================================================
"""
