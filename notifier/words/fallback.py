"""Which of a template's words a reader gets, where none are in their very language or for the very channel.

Called by `words.render`, by the checks of templates, and by the editor.
"""

from functools import lru_cache

from notifier.core.wording import ANY_CHANNEL, TemplateSource, Words

DEFAULT_LOCALE = "en"
LONGEST_LOCALE = 35


def find_words(template: TemplateSource, channel: str, locale: str | None) -> tuple[Words, str, str] | None:
    """The words for a reader, with their channel and locale: the reader's language before the channel's own wording.

    pt-BR, then pt, then English, then whatever there is; in each, the channel's own before those for any (`*`).
    """
    for candidate in (*fall_backs(locale), *sorted({known for _, known in template.contents})):
        for owner in (channel, ANY_CHANNEL):
            words = template.contents.get((owner, candidate))
            if words is not None:
                return words, owner, candidate
    return None


def fall_backs(locale: str | None) -> tuple[str, ...]:
    """`pt_br` → pt-BR, pt, en: the spellings under which templates keep their locales. Of an endless one, the
    beginning.
    """
    return _fall_backs((locale or "")[:LONGEST_LOCALE])


@lru_cache(maxsize=1024)
def _fall_backs(locale: str) -> tuple[str, ...]:
    parts = locale.replace("_", "-").split("-")
    tags = [
        "-".join([parts[0].lower(), *map(_subtag, parts[1:count])]) for count in range(len(parts), 0, -1) if parts[0]
    ]
    return tuple(dict.fromkeys([*tags, DEFAULT_LOCALE]))


def _subtag(text: str) -> str:
    return text.upper() if len(text) == 2 else text.title() if len(text) == 4 else text.lower()
