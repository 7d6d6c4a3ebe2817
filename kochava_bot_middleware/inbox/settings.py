"""How events are kept and handled: what can be set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import attrs

from ..exceptions import Violation
from ..messenger.events import Channel
from ..proxies import ENVIRONMENT, proxy_setting, without_credentials
from ..settings import (
    InvalidSettings,
    InvalidValue,
    Rule,
    Secret,
    at_least,
    check_rules,
    each,
    http_url,
    one_of,
    one_word,
)


@attrs.frozen(kw_only=True)
class InboxSettings:
    """
    How events are kept and handled.

    Attributes:
        concurrency: Handlers that run at the same time; further events wait, leased.
        lease_seconds: After this long without a sign of life, another process takes an event over.
        rerun_within_seconds: A handler is run again after its process died only if the event is younger than this;
            an older one is recorded, but not answered.
        commit_timeout_seconds: How long Facebook waits for the store before `on_store_failure` decides.
        on_store_failure: ``buffer``: answer 200 and hold the event in memory, at risk. ``refuse``: answer 503, so that
            Facebook delivers again, for at most `refuse_seconds`.
        at_risk_limit: Events held in memory at most; beyond it, webhooks are refused.
        refuse_seconds: After this long, ``refuse`` turns to ``buffer``, since Facebook unsubscribes a Page after an
            hour of failures.
        poll_seconds: How often to look for events whose process died.
        drain_seconds: How long a shutdown waits for handlers.
    """

    concurrency: int = attrs.field(default=256, validator=at_least(1))
    lease_seconds: float = attrs.field(default=30.0, validator=at_least(1))
    rerun_within_seconds: float = attrs.field(default=300.0, validator=at_least(0))
    commit_timeout_seconds: float = attrs.field(default=1.0, validator=at_least(0, exclusive=True))
    on_store_failure: str = attrs.field(default="buffer", validator=one_of("buffer", "refuse"))
    at_risk_limit: int = attrs.field(default=10_000, validator=at_least(0))
    refuse_seconds: float = attrs.field(default=600.0, validator=at_least(0))
    poll_seconds: float = attrs.field(default=1.0, validator=at_least(0, exclusive=True))
    drain_seconds: float = attrs.field(default=25.0, validator=at_least(0))


MEBIBYTE = 1024 * 1024


def _access_token(_instance: Any, _attribute: Any, value: Any) -> None:
    one_word(None, None, value)
    if value is not None and re.fullmatch(r"[0-9a-f]{32}", value.value):
        wanted = "a Page access token; what is given has the form of an app secret"
        raise InvalidValue(wanted, value)


def _secret(_instance: Any, _attribute: Any, value: Any) -> None:
    one_word(None, None, value)
    if value is not None and re.fullmatch(r"(EAA|IGAA)[0-9A-Za-z]{40,}", value.value):
        wanted = "an app secret; what is given has the form of an access token"
        raise InvalidValue(wanted, value)


def _trimmed(_instance: Any, _attribute: Any, value: Any) -> None:
    if value.value.strip() != value.value or not value.value:
        wanted = "a text of yours without white space around it"
        raise InvalidValue(wanted, value)


def _page_ids(_instance: Any, _attribute: Any, pages: Mapping[str, PageSettings]) -> None:
    wanted = "the id of a Page or Instagram account as key, which has only digits"
    wrong = [page_id for page_id in pages if not re.fullmatch(r"[0-9]+", page_id)]
    if wrong:
        raise InvalidSettings(Violation(key=page_id, wanted=wanted, got=repr(page_id)) for page_id in wrong)


def _version(_instance: Any, _attribute: Any, value: Any) -> None:
    if re.fullmatch(r"v?\d+\.\d+", value) is None:
        wanted = "a version such as v26.0"
        raise InvalidValue(wanted, value)


@attrs.frozen(kw_only=True)
class PageSettings:
    """
    One Page, or one Instagram account.

    Attributes:
        page_access_token: Lets the bot write in the Page's name.
        app_secret: Of the app that sends this Page's webhooks, if it is not the one at the top.
        channel: ``instagram`` for an Instagram account.
        graph_url: If this Page is reached elsewhere, such as ``https://graph.instagram.com``.
        addressed_by_id: Calls name the Page or account by its id in place of ``me``. Tokens of a system user, as of
            *Instagram API with Unified Login*, need it.
    """

    page_access_token: Secret = attrs.field(validator=_access_token)
    app_secret: Secret | None = attrs.field(default=None, validator=_secret)
    channel: Channel = Channel.MESSENGER
    graph_url: str | None = attrs.field(default=None, validator=http_url)
    addressed_by_id: bool = False


def _one_page_or_several(page_access_token: Secret | None, pages: Mapping[str, PageSettings]) -> Iterator[Violation]:
    if (page_access_token is None) == (not pages):
        wanted = "either `page_access_token` (one Page) or `pages` (several)"
        yield Violation(key="page_access_token", wanted=wanted, got="both" if pages else "neither")


def _app_secret_everywhere(app_secret: Secret | None, pages: Mapping[str, PageSettings]) -> Iterator[Violation]:
    without = [page_id for page_id, page in pages.items() if page.app_secret is None]
    if app_secret is None and (without or not pages):
        got = f"none for {', '.join(without)}" if without else "nothing"
        yield Violation(key="app_secret", wanted="an `app_secret`, at the top or in each of `pages`", got=got)


@attrs.frozen(kw_only=True)
class BotSettings:
    """
    The settings of a `MessengerBot`: the short form for one Page, or `pages` for several.

    Attributes:
        verify_token: Any text of yours; the same stands in the app's webhook settings.
        page_access_token: Of the only Page.
        app_secret: Of the app. Webhooks without a right signature are refused.
        former_app_secrets: Still accepted while a secret is being changed.
        pages: By Page id, or Instagram account id.
        api_version: Of the Graph API.
        graph_url: Where the Graph API is.
        proxy: Through which it is reached: ``environment`` (the variables ``HTTPS_PROXY``, ``NO_PROXY`` and so on),
            ``none``, or an address such as ``http://user:password@proxy.example:3128``.
        max_body_bytes: A larger webhook is refused with 413.
        body_timeout_seconds: A webhook that takes longer to arrive is refused with 408.
        inbox: How events are kept and handled.
        tune_gc: When it starts, the bot takes all objects that exist by then out of Python's garbage collections, and
            has these come rarely, which takes a tenth of the CPU time and most pauses away. For processes in which
            little else than the bot runs.
    """

    verify_token: Secret = attrs.field(validator=_trimmed)
    page_access_token: Secret | None = attrs.field(default=None, validator=_access_token)
    app_secret: Secret | None = attrs.field(default=None, validator=_secret)
    former_app_secrets: tuple[Secret, ...] = attrs.field(default=(), validator=each(_secret))
    pages: Mapping[str, PageSettings] = attrs.field(factory=dict, validator=_page_ids)
    api_version: str = attrs.field(default="v26.0", validator=_version)
    graph_url: str = attrs.field(default="https://graph.facebook.com", validator=http_url)
    proxy: str = attrs.field(default=ENVIRONMENT, validator=proxy_setting, repr=without_credentials)
    max_body_bytes: int = attrs.field(default=4 * MEBIBYTE, validator=at_least(1024))
    body_timeout_seconds: float = attrs.field(default=30.0, validator=at_least(0, exclusive=True))
    inbox: InboxSettings = attrs.field(factory=InboxSettings)
    tune_gc: bool = False

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(("page_access_token", "pages"), _one_page_or_several),
        Rule(("app_secret", "pages"), _app_secret_everywhere),
    )

    def __attrs_post_init__(self) -> None:
        check_rules(self)

    @property
    def app_secrets(self) -> tuple[Secret, ...]:
        """Every secret whose signature is good."""
        of_pages = [page.app_secret for page in self.pages.values() if page.app_secret is not None]
        own = [] if self.app_secret is None else [self.app_secret]
        return (*own, *of_pages, *self.former_app_secrets)
