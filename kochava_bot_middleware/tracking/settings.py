"""The settings of the middleware, and which Kochava app, links and greeting apply to which Page."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from ..clock import Clock
from ..delivery.settings import DeliverySettings
from ..incidents import Incidents
from ..kochava.destination import Destination, Destinations, WireSettings, app_guid
from ..kochava.records import Record
from ..kochava.smartlink_settings import SmartLinkSettings
from ..settings import InvalidValue, Secret, at_least
from ..store.address import DEFAULT_ADDRESS, StorePlace, openable, shown
from ..store.contract import Store
from ..telemetry.counts import Counts
from .automatic_events import EngagementSettings
from .consent import PrivacySettings
from .counting import Counting, ReportSettings
from .greeting import GreetingSettings
from .links.provider import Catalogue, LinkProvider, LinkProviderSettings
from .links.rewriting import AppLinks
from .people import DeviceSettings, IdentitySettings, InstallSettings, Person, one_parameter
from .state import Keys, StateKey, suppression_key

log = logging.getLogger("kochava_bot_middleware.tracking")


class Mode(enum.StrEnum):
    """What becomes of records."""

    LIVE = "live"
    """They are stored and sent."""

    DRY_RUN = "dry_run"
    """They are logged, without the person's id; links are rewritten."""

    OFF = "off"
    """None are made, and links stay as they are."""


class WorkerPlace(enum.StrEnum):
    """Where records are sent from."""

    INSIDE = "inside"
    """The bot's own process."""

    SEPARATE = "separate"
    """One or more processes of ``kochava-bot worker``."""


@attrs.frozen(kw_only=True)
class PageOverrides:
    """What differs for one Page; each section that is given replaces the one at the top whole."""

    kochava_app_id: str | None = attrs.field(default=None, validator=app_guid)
    smartlinks: SmartLinkSettings | None = None
    greeting: GreetingSettings | None = None
    events: EngagementSettings | None = None
    identity: IdentitySettings | None = None
    device: DeviceSettings | None = None
    install: InstallSettings | None = None
    wire: WireSettings | None = None


def _at_least_one(_instance: Any, _attribute: Any, secrets: Secret | tuple[Secret, ...] | None) -> None:
    if secrets == ():
        wanted = "one secret or more"
        raise InvalidValue(wanted, secrets)


@attrs.frozen(kw_only=True)
class KochavaSettings:
    """
    The settings of a `KochavaMiddleware`.

    Attributes:
        kochava_app_id: The App GUID (``ko…``). Kochava advises one app for each bot.
        app_secret: Of the Facebook app, or several: `KochavaMiddleware.parse` refuses webhooks that are signed with
            none of them. Without it, whoever calls `parse` has checked the signature. A `MessengerBot` has its own.
        store: Where records are kept: an address such as ``sqlite:///path``, or ``memory://`` for tests; or a table
            with ``address`` and more.
        smartlinks: How links are rewritten.
        greeting: When greetings count, and the trackers to which they do.
        events: Which events are recorded by themselves.
        identity: How a person is named, and linked to their ids elsewhere.
        device: What is known of a person's device.
        install: Whether a first contact is an install.
        privacy: Whose records are not sent, and whether ids leave as hashes.
        link_provider: How a `LinkProvider` is called, if the middleware is given one.
        wire: The requests to Kochava.
        delivery: How the worker sends.
        report: What is counted for reports.
        pages: Overrides by Page id.
        worker: ``inside`` the bot's process, or ``separate``.
        mode: ``live``, ``dry_run`` or ``off``.
        before_record: A callable of each record, async or plain (then called in another thread), before it is stored.
            It answers ``None`` (as it is), a mapping (an event's data, in place of `event_data`) or a `Drop`. When it
            fails or answers otherwise, that is logged, and an event is recorded without data.
        test_users: Ids of persons for whom the bot works, but nothing is sent.
        commit_timeout_seconds: How long a call waits for the store; in `track`, what callables take comes on top. After
            that `track` raises; what was recorded while an event was handled goes on in the background, at risk.
        at_risk_limit: How many such commits are held in memory at most.
        drain_seconds: How long a shutdown waits for requests under way.
    """

    kochava_app_id: str = attrs.field(validator=app_guid)
    app_secret: Secret | tuple[Secret, ...] | None = attrs.field(default=None, validator=_at_least_one)
    store: str | StorePlace = attrs.field(default=DEFAULT_ADDRESS, validator=openable, repr=shown)
    smartlinks: SmartLinkSettings = attrs.field(factory=SmartLinkSettings)
    greeting: GreetingSettings = attrs.field(factory=GreetingSettings)
    events: EngagementSettings = attrs.field(factory=EngagementSettings)
    identity: IdentitySettings = attrs.field(factory=IdentitySettings)
    device: DeviceSettings = attrs.field(factory=DeviceSettings)
    install: InstallSettings = attrs.field(factory=InstallSettings)
    privacy: PrivacySettings = attrs.field(factory=PrivacySettings)
    link_provider: LinkProviderSettings = attrs.field(factory=LinkProviderSettings)
    wire: WireSettings = attrs.field(factory=WireSettings)
    delivery: DeliverySettings = attrs.field(factory=DeliverySettings)
    report: ReportSettings = attrs.field(factory=ReportSettings)
    pages: Mapping[str, PageOverrides] = attrs.field(factory=dict)
    worker: WorkerPlace = WorkerPlace.INSIDE
    mode: Mode = Mode.LIVE
    before_record: Callable[[Record], Any] | None = attrs.field(default=None, validator=one_parameter)
    test_users: tuple[str, ...] = ()
    commit_timeout_seconds: float = attrs.field(default=1.0, validator=at_least(0, exclusive=True))
    at_risk_limit: int = attrs.field(default=10_000, validator=at_least(1))
    drain_seconds: float = attrs.field(default=10.0, validator=at_least(0))

    @property
    def app_secrets(self) -> tuple[Secret, ...]:
        """`app_secret` as a tuple, whichever way it was given."""
        if self.app_secret is None:
            return ()
        return (self.app_secret,) if isinstance(self.app_secret, Secret) else self.app_secret

    @property
    def kept_in(self) -> StorePlace:
        """`store` as a table, whichever way it was given."""
        return StorePlace(address=self.store) if isinstance(self.store, str) else self.store


@attrs.frozen(kw_only=True)
class App:
    """
    What applies to one Page, ready to use.

    Attributes:
        anonymous_links: Its SmartLinks without people's ids.
        has_hooks: Whether the settings have anything to ask about a person.
        uses_referrals: Whether it matters what led a person here.
    """

    app_id: str
    links: AppLinks
    anonymous_links: AppLinks
    greeting: GreetingSettings
    events: EngagementSettings
    identity: IdentitySettings
    device: DeviceSettings
    install: InstallSettings
    privacy: PrivacySettings
    destination: Destination
    has_greeting: bool
    has_hooks: bool = attrs.field(init=False)
    uses_referrals: bool = attrs.field(init=False)

    @has_hooks.default
    def _has_hooks(self) -> bool:
        return self.privacy.consent is not None or self.device.is_given or self.install.mode != "off"

    @uses_referrals.default
    def _uses_referrals(self) -> bool:
        return self.events.attach_referral != "off" or bool(self.greeting.no_click_after_refs)

    def name_of(self, person: Person) -> str:
        """The id under which Kochava knows *person*."""
        return self.names_of(person)[0]

    def names_of(self, person: Person) -> tuple[str, ...]:
        """The ids under which *person* may be kept, `name_of` first."""
        return (person.user_id,) if person.is_hashed else self.privacy.names(person.user_id)


class Apps:
    """
    The app of each Page.

    Attributes:
        trackers: The names of all trackers, of whichever Page.
        own_keys: The names of ids of Messenger and Instagram, of whichever Page.
    """

    def __init__(self, settings: KochavaSettings, catalogue: Catalogue | None = None) -> None:
        self._catalogue = catalogue
        self._default = _app(settings, None, PageOverrides(), catalogue)
        self._of_page = {page_id: _app(settings, page_id, page, catalogue) for page_id, page in settings.pages.items()}
        self.trackers = frozenset(name for app in self for name in app.destination.trackers)
        self.own_keys: frozenset[str] = frozenset().union(*(app.identity.own_keys for app in self))

    def of(self, page_id: str | None) -> App:
        """What applies to a Page; the settings at the top apply to every Page without overrides."""
        return self._default if page_id is None else self._of_page.get(page_id, self._default)

    async def close(self) -> None:
        """Cancel the calls of the link provider that still run."""
        if self._catalogue is not None:
            await self._catalogue.close()

    def __iter__(self) -> Iterator[App]:
        yield self._default
        yield from self._of_page.values()

    @property
    def destinations(self) -> Destinations:
        """All that the worker may have to send to."""
        return Destinations(app.destination for app in self)


def _app(settings: KochavaSettings, page_id: str | None, page: PageOverrides, catalogue: Catalogue | None) -> App:
    greeting = page.greeting or settings.greeting
    app_id = page.kochava_app_id or settings.kochava_app_id
    links = page.smartlinks or settings.smartlinks
    identity = page.identity or settings.identity
    if settings.privacy.user_id_hash and not links.user_id_hash:
        links = attrs.evolve(links, user_id_hash=True, user_id_hash_key=settings.privacy.user_id_hash_key)
    return App(
        app_id=app_id,
        links=AppLinks(links, catalogue=catalogue, user_params=identity.keys_by_channel),
        anonymous_links=AppLinks(links, catalogue=catalogue, anonymous=True),
        greeting=greeting,
        events=page.events or settings.events,
        identity=identity,
        device=page.device or settings.device,
        install=page.install or settings.install,
        privacy=settings.privacy,
        destination=Destination(
            app_id=app_id,
            page_id=page_id,
            wire=page.wire or settings.wire,
            trackers=greeting.all_trackers,
        ),
        has_greeting=greeting.is_on,
    )


DRY_PREFIX = "dry_run:"


class TrackingContext:
    """
    What the parts of one middleware share.

    Attributes:
        is_dry_run: Records are logged in place of being stored.
        is_off: Nothing is recorded, and links stay as they are.
        prefix: What the keys of state entries begin with: in a dry run, they leave no traces in what counts later.
    """

    def __init__(
        self, settings: KochavaSettings, *, store: Store, clock: Clock, link_provider: LinkProvider | None = None
    ) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self.incidents = Incidents(clock, log)
        self.counts = Counts()
        catalogue = None
        if link_provider is not None:
            catalogue = Catalogue(
                link_provider, settings.link_provider, clock=clock, incidents=self.incidents, counts=self.counts
            )
        self.apps = Apps(settings, catalogue)
        self.is_dry_run = settings.mode is Mode.DRY_RUN
        self.is_off = settings.mode is Mode.OFF
        self.counting = Counting(settings.report, is_dry_run=self.is_dry_run)
        self.prefix = DRY_PREFIX if self.is_dry_run else ""

    def keys(self, app_id: str, name: str) -> Keys:
        """The keys of a person's state entries."""
        return Keys(app_id, name, self.prefix)

    def suppression_key(self, name: str) -> StateKey:
        """The key of the state entry that a person is suppressed, the same in a dry run."""
        return suppression_key(self.settings.privacy, self.settings.kochava_app_id, name)
