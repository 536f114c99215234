"""The tables, one aggregate per file. Columns and properties only: no queries, commits or sends."""

from notifier.models.account import (
    Account,
    AccountSession,
    Authenticator,
    Invitation,
    OpenIdIdentity,
    Passkey,
    PasskeyChallenge,
    RecoveryCode,
    SignInLink,
)
from notifier.models.broadcast import Broadcast, BroadcastHour, BroadcastTally
from notifier.models.cell import CellCall, Claim, Forward, Home, Neighbour
from notifier.models.console import BulkAction, PausedChannel, Tally
from notifier.models.event import Event, EventReader, EventStream
from notifier.models.event_type import EventType, Template, TemplateAbout, TemplateContent
from notifier.models.experiment import BroadcastVariant, Experiment, ExperimentPerson, ExperimentVariant
from notifier.models.image import Image
from notifier.models.inbox import InboxItem, InboxState
from notifier.models.installation import AuditEntry, Brand, InstallationSecret, Provider, Revision
from notifier.models.key import DigestKey, EncryptionKey, Reencryption
from notifier.models.notification import Attempt, Capture, Delivery, Notification, Receipt
from notifier.models.oauth import RevokedToken, SigningKey
from notifier.models.policy import (
    ChannelPrior,
    ChannelScore,
    CollapseHead,
    ContentMark,
    Digest,
    DigestEntry,
    Flag,
    Schedule,
)
from notifier.models.producer import ApiKey, Producer
from notifier.models.spend import LimitStop, SpendDay, SpendEntry
from notifier.models.submission import IdempotencyKey, Submission
from notifier.models.subscription import Subscription, SubscriptionAttempt, SubscriptionRetry
from notifier.models.synthetic import SyntheticTurn
from notifier.models.trend import Trend
from notifier.models.upload import Upload, UploadMember, UploadPart
from notifier.models.usage import UsageMonth
from notifier.models.user import Address, AddressCode, ConsentEvent, ConsentText, Erasure, Preference, Suppression, User
from notifier.models.wall import WallLink

__all__ = [
    "Account",
    "AccountSession",
    "Address",
    "AddressCode",
    "ApiKey",
    "Attempt",
    "AuditEntry",
    "Authenticator",
    "Brand",
    "Broadcast",
    "BroadcastHour",
    "BroadcastTally",
    "BroadcastVariant",
    "BulkAction",
    "Capture",
    "CellCall",
    "ChannelPrior",
    "ChannelScore",
    "Claim",
    "CollapseHead",
    "ConsentEvent",
    "ConsentText",
    "ContentMark",
    "Delivery",
    "Digest",
    "DigestEntry",
    "DigestKey",
    "EncryptionKey",
    "Erasure",
    "Event",
    "EventReader",
    "EventStream",
    "EventType",
    "Experiment",
    "ExperimentPerson",
    "ExperimentVariant",
    "Flag",
    "Forward",
    "Home",
    "IdempotencyKey",
    "Image",
    "InboxItem",
    "InboxState",
    "InstallationSecret",
    "Invitation",
    "LimitStop",
    "Neighbour",
    "Notification",
    "OpenIdIdentity",
    "Passkey",
    "PasskeyChallenge",
    "PausedChannel",
    "Preference",
    "Producer",
    "Provider",
    "Receipt",
    "RecoveryCode",
    "Reencryption",
    "Revision",
    "RevokedToken",
    "Schedule",
    "SignInLink",
    "SigningKey",
    "SpendDay",
    "SpendEntry",
    "Submission",
    "Subscription",
    "SubscriptionAttempt",
    "SubscriptionRetry",
    "Suppression",
    "SyntheticTurn",
    "Tally",
    "Template",
    "TemplateAbout",
    "TemplateContent",
    "Trend",
    "Upload",
    "UploadMember",
    "UploadPart",
    "UsageMonth",
    "User",
    "WallLink",
]
