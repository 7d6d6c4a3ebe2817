"""
The local Kochava; it shares no code with what it checks.

Each rule cites the fact that it follows: the section and row of the table of facts, ``kochava.md``, and in brackets the
page or code that states it.

======  ==================================================================================
AMP     github Amplitude-Developer-Docs/amplitude-dev-center, kochava-event-streaming.md
AND     Kochava's Android SDK
AUTH    support.kochava.com, server-to-server-integration/kochava-install-authentication-integration
BOT     support.kochava.com, server-to-server-integration/bot-integration
DDL     support.kochava.com, links-overview/dynamic-deep-linking
DMA     support.kochava.com, reference-information/googles-digital-markets-act-consent-policy
DSR     support.kochava.com/?p=35485, Data Subject Request API
EVT     support.kochava.com, server-to-server-integration/post-install-event-setup
EX      support.kochava.com, reference-information/post-install-event-examples
FLU     Kochava's Flutter SDK
INS     support.kochava.com, server-to-server-integration/install-notification-setup
IDL     support.kochava.com, server-to-server-integration/identitylink-setup
NOUA    support.kochava.com, server-to-server-integration/s2s-without-device-ua
PIX     github aleksUIX/pixellint, the rules of kochava.json
RECON   support.kochava.com, campaign-management/default-reconciliation-settings
SEG     github segmentio/action-destinations, destinations/kochava
SH      github YspCoder/social-hub, adapters/kochava
SOC     support.kochava.com/?p=30341, SmartLinks on social media platforms
SWA     docs.swaarm.com, kochava-integration-with-swaarm
WEB     Kochava's Web SDK
YAN     Yandex Direct, its Kochava addresses
======  ==================================================================================
"""
