"""The closed list of reasons why a delivery was skipped or waits, and the rule that each belongs to."""

from notifier.core.routing import (
    ESCALATION,
    FALLBACK,
)

DIGESTED = "digested"
SPEND_LIMIT, NEW_PHONES, COUNTRY = "spend_limit", "new_phones", "country_not_allowed"
NOT_LISTED = "target_not_listed"  # also the code of a send that was not made for that


# The closed list of reasons. A skip or a delay without one of these does not exist.
REASONS: dict[str, str] = {
    "no_address": "There is no active address for this channel.",
    "opted_out": "The person has switched this off.",
    "suppressed": "The address is on the suppression list.",
    "muted": "The person has muted notifications.",
    "quiet_hours": "These are quiet hours for the person.",
    "expired": "It would arrive after it has expired.",
    "channel_off": "The channel is switched off here.",
    "no_provider": "No provider here sends to this kind of device.",
    "not_in_rollout": "The channel is not on for this person yet.",
    "duplicate": "The same message came to this person a short time ago.",
    "superseded": "A newer notification has taken its place.",
    "frequency_cap": "The limit of the person for this category has been reached for now.",
    DIGESTED: "It goes into a summary.",
    "read_elsewhere": "The person has already read it.",
    "scheduled": "It was submitted for a later time.",
    FALLBACK: "It goes out here if the channels before it fail.",
    ESCALATION: "It goes out here unless it is read first.",
    "not_needed": "Another channel has succeeded.",
    "provider_down": "The provider is not working; it is tried again later.",
    "paced": "The provider's rate limit has been reached for the moment.",
    "recipient_limit": "Too many of these went to the person or the address in a short time.",
    SPEND_LIMIT: "What its producer may spend in a day has been spent.",
    NEW_PHONES: "Too many new phone numbers of one block were reached in a short time.",
    COUNTRY: "Phones in that country may not be reached.",
    NOT_LISTED: "The address is not on the list of targets that may be called.",
    "retry": "An attempt failed; the next one is due later.",
    "cancelled": "The producer cancelled it.",
    "user_erased": "The person was erased.",
    "template_error": "The template cannot be filled with this data.",
}


BECAUSE: dict[str, str] = {
    "mandatory": "It is mandatory on this channel.",
    "type_channel": "The person chose it for this type on this channel.",
    "type": "The person chose it for this type.",
    "category_channel": "The person chose it for this category on this channel.",
    "category": "The person chose it for this category.",
    "channel": "The person chose this channel.",
    "default": "The channel is on for everybody who has not chosen.",
}
