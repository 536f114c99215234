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
        "Auf diesem Kanal ist sie verpflichtend, unabhängig von der Auswahl.",
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
            "An diese Adresse dürfen solche Nachrichten nicht mehr gesendet werden: Eine kam als unzustellbar "
            "zurück, oder es gab eine Beschwerde."
        ),
    ),
    "channel_off": (
        "The channel is switched off in this installation.",
        "Der Kanal ist in dieser Installation ausgeschaltet.",
    ),
    "no_provider": (
        "No provider in this installation sends to this kind of device[ ({platform})].",
        "Kein Anbieter in dieser Installation sendet an diese Art von Gerät[ ({platform})].",
    ),
    "not_in_rollout": (
        "The channel is being introduced step by step[, for {percentage} % of all people so far].",
        "Der Kanal wird schrittweise eingeführt[, bisher für {percentage} % aller Personen].",
    ),
    "duplicate": (
        "The same message came a short time ago[: {duplicate_of}].",
        "Dieselbe Nachricht wurde vor Kurzem schon gesendet[: {duplicate_of}].",
    ),
    "superseded": (
        "A newer notification has taken its place[: {superseded_by}].",
        "Eine neuere Nachricht hat sie ersetzt[: {superseded_by}].",
    ),
    "recipient_limit": (
        "Too many messages of this kind went to this person or address in a short time.",
        "An diese Person oder Adresse gingen in kurzer Zeit zu viele Nachrichten dieser Art.",
    ),
    "frequency_cap": (
        "The limit for this category has been reached for now.",
        "Das Limit für diese Kategorie ist vorerst erreicht.",
    ),
    "frequency_cap.hour": (
        "At most {max} of this category are sent in an hour, and that limit has been reached.",
        "Aus dieser Kategorie werden höchstens {max} pro Stunde gesendet, und dieses Limit ist erreicht.",
    ),
    "frequency_cap.day": (
        "At most {max} of this category are sent in a day, and that limit has been reached.",
        "Aus dieser Kategorie werden höchstens {max} pro Tag gesendet, und dieses Limit ist erreicht.",
    ),
    "expired": (
        "Its time has passed[: it would have had to wait until {until}].",
        "Sie ist abgelaufen[: Sie hätte bis {until} warten müssen].",
    ),
    "digested": (
        "It goes into a summary[, due {until}].",
        "Sie kommt in eine Zusammenfassung[, fällig am {until}].",
    ),
    "digested.digest": (
        "This category comes as a summary, as chosen[; the next one is due {until}].",
        "Diese Kategorie kommt wie gewählt als Zusammenfassung[; die nächste ist am {until} fällig].",
    ),
    "digested.frequency_cap": (
        "The limit for this category has been reached for now; it goes into a summary[, due {until}].",
        (
            "Das Limit für diese Kategorie ist vorerst erreicht; die Nachricht kommt in eine Zusammenfassung[, "
            "fällig am {until}]."
        ),
    ),
    "digested.quiet_hours": (
        "It came in quiet hours; it goes into a summary[, due {until}].",
        "Sie kam in der Ruhezeit und kommt in eine Zusammenfassung[, fällig am {until}].",
    ),
    "digested.muted": (
        "It came while everything was muted; it goes into a summary[, due {until}].",
        "Sie kam, während alles stumm geschaltet war, und kommt in eine Zusammenfassung[, fällig am {until}].",
    ),
    # why it waits, and for what
    "muted": ("Everything is muted[ until {until}].", "Alles ist stumm geschaltet[ bis {until}]."),
    "muted.skip": (
        "It came while everything was muted, and such messages are dropped, as chosen.",
        "Sie kam, während alles stumm geschaltet war; solche Nachrichten entfallen, wie gewählt.",
    ),
    "quiet_hours": ("These are quiet hours[ until {until}].", "Es ist Ruhezeit[ bis {until}]."),
    "quiet_hours.skip": (
        "It came in quiet hours, and such messages are dropped, as chosen.",
        "Sie kam in der Ruhezeit; solche Nachrichten entfallen, wie gewählt.",
    ),
    "scheduled": (
        "It was submitted for later[: {until}].",
        "Sie ist für später geplant[: {until}].",
    ),
    "fallback": (
        "It goes out if the channels before it fail.",
        "Sie wird gesendet, falls die Kanäle davor scheitern.",
    ),
    "fallback.outage": (
        "The channel before it is not working; it goes out[ on {until}] unless that channel succeeds first.",
        "Der Kanal davor ist gestört; sie wird[ am {until}] gesendet, falls er nicht vorher Erfolg hat.",
    ),
    "fallback.being_tried": (
        "Another channel is being tried; it goes out if that one fails.",
        "Gerade wird ein anderer Kanal versucht; sie wird gesendet, falls er scheitert.",
    ),
    "escalation": (
        "It goes out unless it is read first[, on {until}].",
        "Sie wird[ am {until}] gesendet, falls sie nicht vorher gelesen wird.",
    ),
    "retry": (
        "An attempt failed; the next one follows[ on {until}].",
        "Ein Versuch ist fehlgeschlagen; der nächste folgt[ am {until}].",
    ),
    "provider_down": (
        "The provider is not working; it is tried again later.",
        "Der Anbieter ist gestört; es wird später erneut versucht.",
    ),
    "provider_down.all": (
        (
            "The provider is not working; the message goes out here as soon as it works again. The other channels do "
            "not wait."
        ),
        (
            "Der Anbieter ist gestört; die Nachricht wird hier gesendet, sobald er wieder arbeitet. Die anderen "
            "Kanäle warten nicht."
        ),
    ),
    "provider_down.first": (
        "The provider is not working; the message goes out when it works again, unless another channel succeeds first.",
        (
            "Der Anbieter ist gestört; die Nachricht wird gesendet, sobald er wieder arbeitet, falls nicht vorher "
            "ein anderer Kanal Erfolg hat."
        ),
    ),
    "provider_down.best": (
        "The provider is not working; the message goes out when it works again, unless another channel succeeds first.",
        (
            "Der Anbieter ist gestört; die Nachricht wird gesendet, sobald er wieder arbeitet, falls nicht vorher "
            "ein anderer Kanal Erfolg hat."
        ),
    ),
    "provider_down.escalate": (
        (
            "The provider is not working; the message goes out when it works again, unless it is read first. The "
            "next channel follows at its own time."
        ),
        (
            "Der Anbieter ist gestört; die Nachricht wird gesendet, sobald er wieder arbeitet, falls sie nicht "
            "vorher gelesen wird. Der nächste Kanal folgt zu seiner Zeit."
        ),
    ),
    "paced": (
        "The provider's rate limit has been reached for the moment.",
        "Das Sendelimit des Anbieters ist vorerst erreicht.",
    ),
    "paused": (
        "The channel is paused; the message goes out when somebody resumes it.",
        "Der Kanal ist angehalten; die Nachricht wird gesendet, sobald ihn jemand wieder freigibt.",
    ),
    "paused.first": (
        "The channel is paused; the message goes out when somebody resumes it, unless another channel succeeds first.",
        (
            "Der Kanal ist angehalten; die Nachricht wird gesendet, sobald ihn jemand wieder freigibt, falls nicht "
            "vorher ein anderer Kanal Erfolg hat."
        ),
    ),
    "paused.best": (
        "The channel is paused; the message goes out when somebody resumes it, unless another channel succeeds first.",
        (
            "Der Kanal ist angehalten; die Nachricht wird gesendet, sobald ihn jemand wieder freigibt, falls nicht "
            "vorher ein anderer Kanal Erfolg hat."
        ),
    ),
    "discarded": (
        "It failed, and was deleted from the failed jobs.",
        "Sie ist fehlgeschlagen und wurde aus den fehlgeschlagenen Aufträgen gelöscht.",
    ),
    "at_once": (
        "It goes out at once.",
        "Sie wird sofort gesendet.",
    ),
    "route.quiet_hours": (
        "It goes out when the quiet hours end[, on {until}].",
        "Sie wird gesendet, wenn die Ruhezeit endet[, am {until}].",
    ),
    "route.muted": (
        "It goes out when muting ends[, on {until}].",
        "Sie wird gesendet, wenn die Stummschaltung endet[, am {until}].",
    ),
    # in which order
    "first": (
        "The channels are tried in order until one succeeds.",
        "Die Kanäle werden der Reihe nach versucht, bis einer Erfolg hat.",
    ),
    "escalate": (
        "The channels follow each other until it is read, even while one of them is not working.",
        "Die Kanäle folgen aufeinander, bis die Nachricht gelesen ist, auch wenn einer von ihnen gestört ist.",
    ),
    "patience": (
        "A channel that is not working has {seconds} seconds to recover; then the next one is tried as well.",
        "Auf einen gestörten Kanal wird {seconds} Sekunden gewartet; dann wird auch der nächste versucht.",
    ),
    "no_patience": (
        "If a channel is not working, the next one is tried at once.",
        "Ist ein Kanal gestört, wird sofort der nächste versucht.",
    ),
    "best": (
        "The channel that is most likely to be opened comes first[: {first}, with {opened} of {sent} opened so far].",
        (
            "Der Kanal, auf dem Nachrichten am ehesten geöffnet werden, kommt zuerst[: {first}, bisher {opened} von "
            "{sent} geöffnet]."
        ),
    ),
    "best.proved": (
        "The channel that has been opened most so far comes first: {first}, {opened} of {sent}.",
        (
            "Der Kanal, auf dem bisher die meisten Nachrichten geöffnet wurden, kommt zuerst: {first}, {opened} von "
            "{sent}."
        ),
    ),
    "best.tried": (
        (
            "It is not clear yet which channel is opened most; this time {first} comes first. So far {opened} of "
            "{sent} were opened there."
        ),
        (
            "Noch ist nicht klar, auf welchem Kanal die meisten Nachrichten geöffnet werden; diesmal kommt {first} "
            "zuerst. Dort wurden bisher {opened} von {sent} geöffnet."
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
    "bounced": (
        "It bounced.",
        "Sie kam als unzustellbar zurück.",
    ),
    "unknown": (
        "It may have been sent; nobody knows for sure.",
        "Vielleicht wurde sie gesendet; sicher ist das nicht.",
    ),
    "skipped": ("It was left out.", "Sie wurde ausgelassen."),
}
