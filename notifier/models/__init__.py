"""The tables, one aggregate a file. Columns and properties only: no queries, commits or sends."""

from notifier.models.account import Account
from notifier.models.event_type import EventType, Template, TemplateContent
from notifier.models.inbox import InboxItem, InboxState
from notifier.models.installation import AuditEntry, InstallationSecret, Provider
from notifier.models.notification import Attempt, Capture, Delivery, Notification, Receipt
from notifier.models.producer import ApiKey, Producer
from notifier.models.submission import Broadcast, IdempotencyKey, Submission
from notifier.models.user import Address, ConsentEvent, Preference, Suppression, User

__all__ = [
    "Account",
    "Address",
    "ApiKey",
    "Attempt",
    "AuditEntry",
    "Broadcast",
    "Capture",
    "ConsentEvent",
    "Delivery",
    "EventType",
    "IdempotencyKey",
    "InboxItem",
    "InboxState",
    "InstallationSecret",
    "Notification",
    "Preference",
    "Producer",
    "Provider",
    "Receipt",
    "Submission",
    "Suppression",
    "Template",
    "TemplateContent",
    "User",
]
