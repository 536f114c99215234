"""The sentences of `core.explain`: one for each reason, in English; the catalogues have them in the other languages.

They address nobody, so that the same sentence serves the person, the producer and the admin; DECIDED has those that an
admin reads about the past. Text in brackets is left out unless every value in it is known. A key with a dot is a
special case of a reason: `rule.reason`, `reason.because`, `reason.held`, `reason.per` and `reason.per.category` of a
cap, or `reason.outcome`.
"""

from collections.abc import Mapping


def N_(text: str) -> str:  # noqa: N802 (gettext's own name for it)
    """Marks a text for the catalogues, as that of `ground.languages` does."""
    return text


SENTENCES: Mapping[str, str] = {
    # why a channel is on
    "mandatory": N_("It is mandatory on this channel, whatever was chosen."),
    "type_channel": N_("This kind of message was switched on for this channel."),
    "type": N_("This kind of message was switched on."),
    "category_channel": N_("This category was switched on for this channel."),
    "category": N_("This category was switched on."),
    "channel": N_("This channel was switched on."),
    "default": N_("This channel is on unless it is switched off."),
    # why a channel is left out
    "opted_out": N_("It was switched off."),
    "opted_out.type_channel": N_("This kind of message was switched off for this channel."),
    "opted_out.type": N_("This kind of message was switched off."),
    "opted_out.category_channel": N_("This category was switched off for this channel."),
    "opted_out.category": N_("This category was switched off."),
    "opted_out.channel": N_("This channel was switched off."),
    "opted_out.default": N_("This channel is off unless it is switched on."),
    "no_address": N_("There is no active address for this channel[; one was switched off: {disabled_reason}]."),
    "suppressed": N_(
        "Nothing of this kind may be sent to this address any more: a message bounced, or somebody complained."
    ),
    "channel_off": N_("The channel is switched off in this installation."),
    "no_provider": N_("No provider in this installation sends to this kind of device[ ({platform})]."),
    "not_in_rollout": N_("The channel is being introduced step by step[, for {percentage} % of all people so far]."),
    "duplicate": N_("The same message came a short time ago[: {duplicate_of}]."),
    "superseded": N_("A newer notification has taken its place[: {superseded_by}]."),
    "recipient_limit": N_("Too many messages of this kind went to this person or address in a short time."),
    "frequency_cap": N_("The limit for this category has been reached for now."),
    "frequency_cap.hour": N_("At most {max} of this category are sent in an hour, and that limit has been reached."),
    "frequency_cap.day": N_("At most {max} of this category are sent in a day, and that limit has been reached."),
    "frequency_cap.hour.social": N_(
        "Social messages are limited to {max} in an hour, and that limit has been reached."
    ),
    "frequency_cap.hour.marketing": N_(
        "Marketing messages are limited to {max} in an hour, and that limit has been reached."
    ),
    "frequency_cap.hour.system": N_(
        "System messages are limited to {max} in an hour, and that limit has been reached."
    ),
    "frequency_cap.day.social": N_("Social messages are limited to {max} in a day, and that limit has been reached."),
    "frequency_cap.day.marketing": N_(
        "Marketing messages are limited to {max} in a day, and that limit has been reached."
    ),
    "frequency_cap.day.system": N_("System messages are limited to {max} in a day, and that limit has been reached."),
    "expired": N_("Its time has passed[: it would have had to wait until {until}]."),
    "digested": N_("It goes into a summary[, due {until}]."),
    "digested.digest": N_("This category comes as a summary, as chosen[; the next one is due {until}]."),
    "digested.frequency_cap": N_(
        "The limit for this category has been reached for now; it goes into a summary[, due {until}]."
    ),
    "digested.quiet_hours": N_("It came in quiet hours; it goes into a summary[, due {until}]."),
    "digested.muted": N_("It came while everything was muted; it goes into a summary[, due {until}]."),
    # why it waits, and for what
    "muted": N_("Everything is muted[ until {until}]."),
    "muted.skip": N_("It came while everything was muted, and such messages are dropped, as chosen."),
    "quiet_hours": N_("These are quiet hours[ until {until}]."),
    "quiet_hours.skip": N_("It came in quiet hours, and such messages are dropped, as chosen."),
    "scheduled": N_("It was submitted for later[: {until}]."),
    "fallback": N_("It goes out if the channels before it fail."),
    "fallback.outage": N_(
        "The channel before it is not working; it goes out[ on {until}] unless that channel succeeds first."
    ),
    "fallback.being_tried": N_("Another channel is being tried; it goes out if that one fails."),
    "escalation": N_("It goes out unless it is read first[, on {until}]."),
    "retry": N_("An attempt failed; the next one follows[ on {until}]."),
    "spend_limit": N_("The daily limit for what messages may cost has been reached."),
    "new_phones": N_("Too many new phone numbers like this one were reached in a short time."),
    "country_not_allowed": N_("Phones in this country may not be reached[ ({country})]."),
    "country_not_allowed.producer": N_("Phones in this country may not be reached by this producer[ ({country})]."),
    "target_not_listed": N_("The address is not on the list of targets that may be called."),
    "target_not_listed.installation": N_("The address is not on the installation's list of webhook targets."),
    "target_not_listed.producer": N_("The address is not on the producer's list of webhook targets."),
    "provider_down": N_("The provider is not working; it is tried again later."),
    "provider_down.all": N_(
        "The provider is not working; the message goes out here as soon as it works again. The other channels "
        "do not wait."
    ),
    "provider_down.first": N_(
        "The provider is not working; the message goes out when it works again, unless another channel succeeds first."
    ),
    "provider_down.best": N_(
        "The provider is not working; the message goes out when it works again, unless another channel succeeds first."
    ),
    "provider_down.escalate": N_(
        "The provider is not working; the message goes out when it works again, unless it is read first. The "
        "next channel follows at its own time."
    ),
    "paced": N_("The provider's rate limit has been reached for the moment."),
    "paused": N_("The channel is paused; the message goes out when somebody resumes it."),
    "paused.first": N_(
        "The channel is paused; the message goes out when somebody resumes it, unless another channel succeeds first."
    ),
    "paused.best": N_(
        "The channel is paused; the message goes out when somebody resumes it, unless another channel succeeds first."
    ),
    "discarded": N_("It failed, and was deleted from the failed jobs."),
    "at_once": N_("It goes out at once."),
    "route.quiet_hours": N_("It goes out when the quiet hours end[, on {until}]."),
    "route.muted": N_("It goes out when muting ends[, on {until}]."),
    # in which order
    "first": N_("The channels are tried in order until one succeeds."),
    "escalate": N_("The channels follow each other until it is read, even while one of them is not working."),
    "patience": N_(
        "A channel that is not working has {seconds} seconds to recover; then the next one is tried as well."
    ),
    "no_patience": N_("If a channel is not working, the next one is tried at once."),
    "best": N_(
        "The channel that is most likely to be opened comes first[: {first}, with {opened} of {sent} opened so far]."
    ),
    "best.proved": N_("The channel that has been opened most so far comes first: {first}, {opened} of {sent}."),
    "best.tried": N_(
        "It is not clear yet which channel is opened most; this time {first} comes first. So far {opened} of "
        "{sent} were opened there."
    ),
    # what became of it
    "not_needed": N_("Another channel has succeeded."),
    "read_elsewhere": N_("It has already been read on another channel."),
    "cancelled": N_("It was cancelled by its sender."),
    "user_erased": N_("The person was erased."),
    "template_error": N_("Its template cannot be filled with this data[: {message}]"),
    "waiting": N_("It is waiting."),
    "queued": N_("It is about to be sent."),
    "sending": N_("It is being sent."),
    "sent": N_("The provider has accepted it."),
    "delivered": N_("It was delivered."),
    "opened": N_("It was opened."),
    "clicked": N_("A link in it was followed."),
    "failed": N_("It could not be sent."),
    "bounced": N_("It bounced."),
    "unknown": N_("It may have been sent; nobody knows for sure."),
    "skipped": N_("It was left out."),
}

# Of a decision that was made some time ago, for the console: in English alone, as the console is. What is not among
# them is in the past tense above, or is said of deliveries only.
DECIDED: Mapping[str, str] = {
    "mandatory": "It was mandatory on this channel, whatever had been chosen.",
    "default": "This channel was on: nobody had switched it off.",
    "opted_out.default": "This channel was off: nobody had switched it on.",
    "no_address": "There was no active address for this channel[; one had been switched off: {disabled_reason}].",
    "suppressed": (
        "Nothing of this kind could be sent to this address any more: a message had bounced, or somebody had "
        "complained."
    ),
    "channel_off": "The channel was switched off in this installation.",
    "no_provider": "No provider in this installation sent to this kind of device[ ({platform})].",
    "not_in_rollout": "The channel was being introduced step by step[, for {percentage} % of all people by then].",
    "duplicate": "The same message had come a short time before[: {duplicate_of}].",
    "superseded": "A newer notification had taken its place[: {superseded_by}].",
    "recipient_limit": "Too many messages of this kind had gone to this person or address in a short time.",
    "spend_limit": "The daily limit for what messages might cost had been reached.",
    "new_phones": "Too many new phone numbers like this one had been reached in a short time.",
    "country_not_allowed": "Phones in this country were not to be reached[ ({country})].",
    "target_not_listed": "The address was not on the list of targets that may be called.",
    "frequency_cap": "The limit for this category had been reached.",
    "frequency_cap.hour": "At most {max} of this category were sent in an hour, and that limit had been reached.",
    "frequency_cap.day": "At most {max} of this category were sent in a day, and that limit had been reached.",
    "frequency_cap.hour.social": "Social messages were limited to {max} in an hour, and that limit had been reached.",
    "frequency_cap.hour.marketing": (
        "Marketing messages were limited to {max} in an hour, and that limit had been reached."
    ),
    "frequency_cap.hour.system": "System messages were limited to {max} in an hour, and that limit had been reached.",
    "frequency_cap.day.social": "Social messages were limited to {max} in a day, and that limit had been reached.",
    "frequency_cap.day.marketing": (
        "Marketing messages were limited to {max} in a day, and that limit had been reached."
    ),
    "frequency_cap.day.system": "System messages were limited to {max} in a day, and that limit had been reached.",
    "expired": "Its time had passed[: it was to wait until {until}].",
    "digested": "It went into a summary[, due {until}].",
    "digested.digest": "This category came as a summary, as chosen[; the next one was due {until}].",
    "digested.frequency_cap": "The limit for this category had been reached; it went into a summary[, due {until}].",
    "digested.quiet_hours": "It came in quiet hours; it went into a summary[, due {until}].",
    "digested.muted": "It came while everything was muted; it went into a summary[, due {until}].",
    "muted": "Everything was muted[ until {until}].",
    "muted.skip": "It came while everything was muted, and such messages were dropped, as chosen.",
    "quiet_hours": "These were quiet hours[ until {until}].",
    "quiet_hours.skip": "It came in quiet hours, and such messages were dropped, as chosen.",
    "fallback": "It was to go out if the channels before it failed.",
    "escalation": "It was to go out unless it was read first[, on {until}].",
    "at_once": "It was to go out at once.",
    "route.quiet_hours": "It was to go out when the quiet hours ended[, on {until}].",
    "route.muted": "It was to go out when muting ended[, on {until}].",
    "first": "The channels were to be tried in order until one succeeded.",
    "escalate": "The channels were to follow each other until it was read, even while one of them was not working.",
    "patience": (
        "A channel that was not working had {seconds} seconds to recover; then the next one was to be tried as well."
    ),
    "no_patience": "If a channel was not working, the next one was to be tried at once.",
    "best": "The channel most likely to be opened came first[: {first}, with {opened} of {sent} opened by then].",
    "best.proved": "The channel that had been opened most came first: {first}, {opened} of {sent}.",
    "best.tried": (
        "It was not clear yet which channel was opened most; this time {first} came first. {opened} of {sent} had been "
        "opened there by then."
    ),
}
