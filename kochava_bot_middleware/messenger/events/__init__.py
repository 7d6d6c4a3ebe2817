"""Records of all webhook events, one class for each kind."""

from __future__ import annotations

from .base import (
    ChangeEvent as ChangeEvent,
)
from .base import (
    Channel as Channel,
)
from .base import (
    Event as Event,
)
from .base import (
    HopContext as HopContext,
)
from .base import (
    Kind as Kind,
)
from .base import (
    PriorMessage as PriorMessage,
)
from .base import (
    Referral as Referral,
)
from .base import (
    UnknownEvent as UnknownEvent,
)
from .forms import (
    BrandedCameraEvent as BrandedCameraEvent,
)
from .forms import (
    CheckoutUpdateEvent as CheckoutUpdateEvent,
)
from .forms import (
    CouponEvent as CouponEvent,
)
from .forms import (
    CustomerInformationEvent as CustomerInformationEvent,
)
from .forms import (
    FeedbackQuestion as FeedbackQuestion,
)
from .forms import (
    FeedbackScreen as FeedbackScreen,
)
from .forms import (
    FormEvent as FormEvent,
)
from .forms import (
    GamePlayEvent as GamePlayEvent,
)
from .forms import (
    InformationScreen as InformationScreen,
)
from .forms import (
    MessagingFeedbackEvent as MessagingFeedbackEvent,
)
from .forms import (
    OrderEvent as OrderEvent,
)
from .forms import (
    PaymentEvent as PaymentEvent,
)
from .forms import (
    PreCheckoutEvent as PreCheckoutEvent,
)
from .forms import (
    ResponseFeedbackEvent as ResponseFeedbackEvent,
)
from .messages import (
    Attachment as Attachment,
)
from .messages import (
    ContentEvent as ContentEvent,
)
from .messages import (
    Coordinates as Coordinates,
)
from .messages import (
    DeliveryEvent as DeliveryEvent,
)
from .messages import (
    EchoEvent as EchoEvent,
)
from .messages import (
    MessageDeletedEvent as MessageDeletedEvent,
)
from .messages import (
    MessageEditEvent as MessageEditEvent,
)
from .messages import (
    MessageEvent as MessageEvent,
)
from .messages import (
    MessageUnsupportedEvent as MessageUnsupportedEvent,
)
from .messages import (
    PostbackEvent as PostbackEvent,
)
from .messages import (
    QuickReplyEvent as QuickReplyEvent,
)
from .messages import (
    ReactionEvent as ReactionEvent,
)
from .messages import (
    ReadEvent as ReadEvent,
)
from .messages import (
    ReplyTo as ReplyTo,
)
from .messages import (
    Story as Story,
)
from .threads import (
    AccountLinkingEvent as AccountLinkingEvent,
)
from .threads import (
    AppRolesEvent as AppRolesEvent,
)
from .threads import (
    InboxLabelsEvent as InboxLabelsEvent,
)
from .threads import (
    LeadAnswer as LeadAnswer,
)
from .threads import (
    MessageRequestEvent as MessageRequestEvent,
)
from .threads import (
    OptinEvent as OptinEvent,
)
from .threads import (
    PassThreadControlEvent as PassThreadControlEvent,
)
from .threads import (
    PolicyEnforcementEvent as PolicyEnforcementEvent,
)
from .threads import (
    ReferralEvent as ReferralEvent,
)
from .threads import (
    RequestThreadControlEvent as RequestThreadControlEvent,
)
from .threads import (
    TakeThreadControlEvent as TakeThreadControlEvent,
)
from .threads import (
    ThreadControlEvent as ThreadControlEvent,
)
