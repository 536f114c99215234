"""The sentences of `core.explain`: one for each reason, in each language.

They address nobody, so that the same sentence serves the person, the producer and the admin. Text in brackets is left
out unless every value in it is known. A key with a dot is a special case of a reason: `rule.reason`, `reason.because`,
`reason.held`, `reason.per` of a cap, or `reason.outcome`.
"""

from collections.abc import Mapping

LANGUAGES = ("en", "de")

SENTENCES: Mapping[str, tuple[str, str]] = {
    # why a channel is on
    "mandatory": (
        "It is mandatory on this channel, whatever was chosen.",
        "Auf diesem Kanal ist sie Pflicht, was immer gewählt wurde.",
    ),
    "type_channel": (
        "This kind of message was switched on for this channel.",
        "Diese Art von Nachricht wurde für diesen Kanal eingeschaltet.",
    ),
    "type": ("This kind of message was switched on.", "Diese Art von Nachricht wurde eingeschaltet."),
    "category_channel": (
        "This category was switched on for this channel.",
        "Diese Kategorie wurde für diesen Kanal eingeschaltet.",
    ),
    "category": ("This category was switched on.", "Diese Kategorie wurde eingeschaltet."),
    "channel": ("This channel was switched on.", "Dieser Kanal wurde eingeschaltet."),
    "default": (
        "This channel is on unless it is switched off.",
        "Dieser Kanal ist an, solange er nicht ausgeschaltet wird.",
    ),
    # why a channel is left out
    "opted_out": ("It was switched off.", "Sie wurde ausgeschaltet."),
    "opted_out.type_channel": (
        "This kind of message was switched off for this channel.",
        "Diese Art von Nachricht wurde für diesen Kanal ausgeschaltet.",
    ),
    "opted_out.type": ("This kind of message was switched off.", "Diese Art von Nachricht wurde ausgeschaltet."),
    "opted_out.category_channel": (
        "This category was switched off for this channel.",
        "Diese Kategorie wurde für diesen Kanal ausgeschaltet.",
    ),
    "opted_out.category": ("This category was switched off.", "Diese Kategorie wurde ausgeschaltet."),
    "opted_out.channel": ("This channel was switched off.", "Dieser Kanal wurde ausgeschaltet."),
    "opted_out.default": (
        "This channel is off unless it is switched on.",
        "Dieser Kanal ist aus, solange er nicht eingeschaltet wird.",
    ),
    "no_address": (
        "There is no active address for this channel[; one was switched off: {disabled_reason}].",
        "Für diesen Kanal gibt es keine aktive Adresse[; eine wurde abgeschaltet: {disabled_reason}].",
    ),
    "suppressed": (
        "Nothing of this kind may be sent to this address any more: a message bounced, or somebody complained.",
        (
            "An diese Adresse darf dergleichen nicht mehr gesendet werden: Sie war nicht erreichbar, oder es gab "
            "eine Beschwerde."
        ),
    ),
    "channel_off": (
        "The channel is switched off in this installation.",
        "Der Kanal ist in dieser Installation ausgeschaltet.",
    ),
    "not_in_rollout": (
        "The channel is being introduced step by step[, for {percentage} % of all people so far].",
        "Der Kanal wird schrittweise eingeführt[, bisher für {percentage} % aller Personen].",
    ),
    "duplicate": (
        "The same message came a short time ago[: {duplicate_of}].",
        "Dasselbe wurde vor Kurzem schon gesagt[, in {duplicate_of}].",
    ),
    "superseded": (
        "A newer notification has taken its place[: {superseded_by}].",
        "Eine neuere Nachricht ist an ihre Stelle getreten[: {superseded_by}].",
    ),
    "recipient_limit": (
        "Too many messages of this kind went to this person or address in a short time.",
        "An diese Person oder Adresse ging in kurzer Zeit zu viel von dieser Art.",
    ),
    "frequency_cap": (
        "The limit for this category has been reached for now.",
        "Von dieser Kategorie wurde für den Moment so viel gesendet, wie gewünscht ist.",
    ),
    "frequency_cap.hour": (
        "At most {max} of this category are sent in an hour, and that limit has been reached.",
        "Von dieser Kategorie werden in einer Stunde höchstens {max} gesendet, und so viele waren es.",
    ),
    "frequency_cap.day": (
        "At most {max} of this category are sent in a day, and that limit has been reached.",
        "Von dieser Kategorie werden an einem Tag höchstens {max} gesendet, und so viele waren es.",
    ),
    "expired": (
        "Its time has passed[: it would have had to wait until {until}].",
        "Ihre Zeit ist abgelaufen[: Sie hätte bis {until} warten müssen].",
    ),
    "digested": ("It goes into a summary[, due {until}].", "Sie kommt in eine Zusammenfassung[, fällig {until}]."),
    "digested.digest": (
        "This category comes as a summary, as chosen[; the next one is due {until}].",
        "Diese Kategorie kommt wie gewählt als Zusammenfassung[; die nächste ist fällig {until}].",
    ),
    "digested.frequency_cap": (
        "The limit for this category has been reached for now; it goes into a summary[, due {until}].",
        (
            "Von dieser Kategorie wurde für den Moment genug gesendet; sie kommt in eine "
            "Zusammenfassung[, fällig {until}]."
        ),
    ),
    "digested.quiet_hours": (
        "It came in quiet hours; it goes into a summary[, due {until}].",
        "Sie kam in der Ruhezeit; sie kommt in eine Zusammenfassung[, fällig {until}].",
    ),
    "digested.muted": (
        "It came while everything was muted; it goes into a summary[, due {until}].",
        "Sie kam, während alles stumm geschaltet war; sie kommt in eine Zusammenfassung[, fällig {until}].",
    ),
    # why it waits, and for what
    "muted": ("Everything is muted[ until {until}].", "Alles ist stumm geschaltet[ bis {until}]."),
    "muted.skip": (
        "It came while everything was muted, and such messages are dropped, as chosen.",
        "Sie kam, während alles stumm geschaltet war; was dann kommt, entfällt wie gewählt.",
    ),
    "quiet_hours": ("These are quiet hours[ until {until}].", "Es ist Ruhezeit[ bis {until}]."),
    "quiet_hours.skip": (
        "It came in quiet hours, and such messages are dropped, as chosen.",
        "Sie kam in der Ruhezeit; was dann kommt, entfällt wie gewählt.",
    ),
    "scheduled": ("It was submitted for later[: {until}].", "Sie wurde für später eingereicht[: {until}]."),
    "fallback": ("It goes out if the channels before it fail.", "Sie geht hinaus, falls die Kanäle davor versagen."),
    "fallback.outage": (
        "The channel before it is not working; it goes out[ at {until}] unless that channel succeeds first.",
        "Der Kanal davor ist gestört; sie geht[ um {until}] hinaus, falls jener nicht vorher gelingt.",
    ),
    "fallback.being_tried": (
        "Another channel is being tried; it goes out if that one fails.",
        "Ein anderer Kanal wird gerade versucht; sie geht hinaus, falls der versagt.",
    ),
    "escalation": (
        "It goes out unless it is read first[, at {until}].",
        "Sie geht hinaus, falls sie vorher nicht gelesen wird[, um {until}].",
    ),
    "retry": (
        "An attempt failed; the next one follows[ at {until}].",
        "Ein Versuch schlug fehl; der nächste folgt[ um {until}].",
    ),
    "provider_down": (
        "The provider is not working; it is tried again later.",
        "Der Anbieter ist gestört; später wird es wieder versucht.",
    ),
    "provider_down.all": (
        (
            "The provider is not working; the message goes out here as soon as it works again. The other "
            "channels do not wait."
        ),
        (
            "Der Anbieter ist gestört; hier geht sie hinaus, sobald er wieder arbeitet. Die anderen "
            "Kanäle warten nicht darauf."
        ),
    ),
    "provider_down.first": (
        "The provider is not working; the message goes out when it works again, unless another channel succeeds first.",
        (
            "Der Anbieter ist gestört; sie geht hinaus, wenn er wieder arbeitet, falls nicht vorher ein anderer "
            "Kanal gelingt."
        ),
    ),
    "provider_down.best": (
        "The provider is not working; the message goes out when it works again, unless another channel succeeds first.",
        (
            "Der Anbieter ist gestört; sie geht hinaus, wenn er wieder arbeitet, falls nicht vorher ein anderer "
            "Kanal gelingt."
        ),
    ),
    "provider_down.escalate": (
        (
            "The provider is not working; the message goes out when it works again, unless it is read first. The "
            "next channel follows at its own time."
        ),
        (
            "Der Anbieter ist gestört; sie geht hinaus, wenn er wieder arbeitet, falls sie nicht vorher gelesen "
            "wird. Der nächste Kanal folgt zu seiner Zeit."
        ),
    ),
    "paced": (
        "The provider's rate limit has been reached for the moment.",
        "Das Tempo des Anbieters ist für den Moment ausgeschöpft.",
    ),
    "paused": (
        "The channel is paused; the message goes out when somebody resumes it.",
        "Der Kanal ist angehalten; sie geht hinaus, wenn ihn jemand wieder freigibt.",
    ),
    "paused.first": (
        "The channel is paused; the message goes out when somebody resumes it, unless another channel succeeds first.",
        (
            "Der Kanal ist angehalten; sie geht hinaus, wenn ihn jemand wieder freigibt, falls nicht vorher ein "
            "anderer Kanal gelingt."
        ),
    ),
    "paused.best": (
        "The channel is paused; the message goes out when somebody resumes it, unless another channel succeeds first.",
        (
            "Der Kanal ist angehalten; sie geht hinaus, wenn ihn jemand wieder freigibt, falls nicht vorher ein "
            "anderer Kanal gelingt."
        ),
    ),
    "discarded": (
        "It failed, and was deleted from the failed jobs.",
        "Sie schlug fehl und wurde aus den Fehlschlägen entfernt.",
    ),
    "at_once": ("It goes out at once.", "Sie geht sofort hinaus."),
    "route.quiet_hours": (
        "It goes out when the quiet hours end[, at {until}].",
        "Sie geht hinaus, wenn die Ruhe vorbei ist[, um {until}].",
    ),
    "route.muted": (
        "It goes out when muting ends[, at {until}].",
        "Sie geht hinaus, wenn nichts mehr stumm ist[, um {until}].",
    ),
    # in which order
    "first": (
        "The channels are tried in order until one succeeds.",
        "Die Kanäle werden der Reihe nach versucht, bis einer gelingt.",
    ),
    "escalate": (
        "The channels follow each other until it is read, even while one of them is not working.",
        "Die Kanäle folgen aufeinander, bis sie gelesen ist, auch während einer von ihnen gestört ist.",
    ),
    "patience": (
        "A channel that is not working has {seconds} seconds to recover; then the next one is tried as well.",
        "Auf einen gestörten Kanal wird {seconds} Sekunden gewartet; dann wird auch der nächste versucht.",
    ),
    "no_patience": (
        "If a channel is not working, the next one is tried at once.",
        "Auf einen gestörten Kanal wird nicht gewartet: Sofort wird auch der nächste versucht.",
    ),
    "best": (
        "The channel that is most likely to be opened comes first[: {first}, with {opened} of {sent} opened so far].",
        "Der Kanal, auf dem am ehesten geöffnet wird, kommt zuerst[: {first}, bisher {opened} von {sent}].",
    ),
    "best.proved": (
        "The channel that has been opened most so far comes first: {first}, {opened} of {sent}.",
        "Der Kanal, auf dem bisher am meisten geöffnet wurde, kommt zuerst: {first}, {opened} von {sent}.",
    ),
    "best.tried": (
        (
            "It is not clear yet which channel is opened most; this time {first} comes first. So far {opened} of "
            "{sent} were opened there."
        ),
        (
            "Auf welchem Kanal am meisten geöffnet wird, zeigt sich noch; diesmal kommt {first} zuerst. Bisher "
            "wurden dort {opened} von {sent} geöffnet."
        ),
    ),
    # what became of it
    "not_needed": ("Another channel has succeeded.", "Ein anderer Kanal war erfolgreich."),
    "read_elsewhere": (
        "It has already been read on another channel.",
        "Sie wurde schon auf einem anderen Kanal gelesen.",
    ),
    "cancelled": ("It was cancelled by its sender.", "Sie wurde vom Absender zurückgezogen."),
    "user_erased": ("The person was erased.", "Die Person wurde gelöscht."),
    "template_error": (
        "Its template cannot be filled with this data[: {message}]",
        "Ihre Vorlage lässt sich mit diesen Daten nicht füllen[: {message}]",
    ),
    "waiting": ("It is waiting.", "Sie wartet."),
    "queued": ("It is about to be sent.", "Sie wird gleich gesendet."),
    "sending": ("It is being sent.", "Sie wird gerade gesendet."),
    "sent": ("The provider has accepted it.", "Der Anbieter hat sie angenommen."),
    "delivered": ("It was delivered.", "Sie wurde zugestellt."),
    "opened": ("It was opened.", "Sie wurde geöffnet."),
    "clicked": ("A link in it was followed.", "Ein Link darin wurde angeklickt."),
    "failed": ("It could not be sent.", "Sie konnte nicht gesendet werden."),
    "bounced": ("It bounced.", "Sie kam zurück."),
    "unknown": (
        "It may have been sent; nobody knows for sure.",
        "Vielleicht wurde sie gesendet; sicher weiß es niemand.",
    ),
    "skipped": ("It was left out.", "Sie wurde ausgelassen."),
}
