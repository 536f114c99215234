"""The HTML document around the text of a mail: one layout for all mails, in `templates/email/`.

The layout is rendered and its CSS inlined once per variant and process, then cut at its slots; a mail fills the slots
by joining strings. Called by `words.render` only; knows no template and no delivery.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from css_inline import CSSInliner
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape

from notifier.core.brand import NO_BRAND, Brand, as_text, text_on
from notifier.core.record import record
from notifier.core.shortening import cut
from notifier.ground.languages import is_rtl, locale_for
from notifier.words.mail_html import FOLDER, Inner, mirrored

# Dark enough for white text on the button (WCAG AA), told apart by the kind of news they bring.
ACCENTS = {"transactional": "#2456d6", "marketing": "#b0369b", "social": "#0b7a6f", "system": "#b42318"}
_PLAIN_ACCENT = "#2456d6"
# A link of the content that has the colour of content.css, and none of its template's
_PLAIN_LINK = re.compile(r'(<a [^<>]*?style="[^"<>]*?)(?<![\w-])color: #1d4ed8')

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "why": "Why did I get this?",
        "unsubscribe": "Unsubscribe",
        "open": "Open",
        "hello": "Hello,",
        "hello_you": "Hello {name},",
    },
    "de": {
        "why": "Warum erhalte ich diese Nachricht?",
        "unsubscribe": "Abbestellen",
        "open": "Öffnen",
        "hello": "Guten Tag,",
        "hello_you": "Guten Tag {name},",
    },
    "fr": {
        "why": "Pourquoi ai-je reçu ce message ?",
        "unsubscribe": "Se désabonner",
        "open": "Ouvrir",
        "hello": "Bonjour,",
        "hello_you": "Bonjour {name},",
    },
    "es": {
        "why": "¿Por qué he recibido este mensaje?",
        "unsubscribe": "Darse de baja",
        "open": "Abrir",
        "hello": "Hola:",
        "hello_you": "Hola, {name}:",
    },
}

_LAST_RESORT = "en"
_LONGEST_PREHEADER = 140
# Keeps clients from showing the text after the preheader. A slot, since the inliner would write the signs themselves,
# and a mail of nothing but ASCII, in short lines, need not be encoded.
_PADDING = Markup("\n".join(["&#847;&zwnj;&nbsp;" * 20] * 3))
_INLINER = CSSInliner(load_remote_stylesheets=False)


@record
class Mail:
    """The parts of one mail, as plain text but for `content` (see `mail_html`). `language`: of all its words, as a
    BCP 47 tag.
    """

    language: str
    category: str
    kicker: str | None
    title: str
    preheader: str
    content: Inner
    action_label: str | None = None
    action_url: str | None = None
    image: str | None = None
    why_url: str | None = None
    unsubscribe_url: str | None = None
    brand: Brand = NO_BRAND


def words_in(locale: str) -> Mapping[str, str] | None:
    """The fixed words around a mail in that language; None where they are not translated."""
    return WORDS.get(locale_for(locale).language)


def words_of(locale: str) -> Mapping[str, str]:
    """In that language, or in English, which the HTML then says of them (`lang`)."""
    return words_in(locale) or WORDS[_LAST_RESORT]


def open_word(locale: str, url: str | None) -> str:
    """The label of a button that has none: in a language without fixed words the host that it leads to."""
    words = words_in(locale)
    return words["open"] if words else urlsplit(url or "").hostname or WORDS[_LAST_RESORT]["open"]


def lay_out(mail: Mail) -> str:
    """The whole document."""
    brand = mail.brand
    accent = brand.accent or ACCENTS.get(mail.category, _PLAIN_ACCENT)
    variant = _variant(
        mail.language,
        mail.action_url is not None,
        mail.image is not None,
        mail.why_url is not None,
        mail.unsubscribe_url is not None,
        mail.kicker is not None,
        mail.content.css != "",
        brand.name is not None,
        brand.logo is not None,
        brand.accent is not None,
        brand.address is not None,
    )
    filling = {
        "title": escape(mail.title),
        "css": f" */ {mail.content.css} /* ",  # the inliner would take it for the beginning of a rule
        "kicker": escape(mail.kicker or ""),
        "preheader": escape(cut(mail.preheader, _LONGEST_PREHEADER)).replace("…", Markup("&hellip;")),
        "padding": _PADDING,
        "content": _in_colour(mail.content.html, brand.accent) if brand.accent else mail.content.html,
        "accent": escape(accent),
        "accent_text": escape(as_text(brand.accent) if brand.accent else accent),
        "ink": escape(text_on(accent)),
        "brand_name": escape(brand.name or ""),
        "logo": escape(brand.logo or ""),
        "address": Markup("<br>").join((brand.address or "").split("\n")),
        "action_label": escape(mail.action_label or ""),
        "action_url": escape(mail.action_url or ""),
        "image": escape(mail.image or ""),
        "why_url": escape(mail.why_url or ""),
        "unsubscribe_url": escape(mail.unsubscribe_url or ""),
    }
    return "".join([filling[part] if is_slot else part for is_slot, part in variant])


def _in_colour(html: str, colour: str) -> str:
    """The content with its plain links in the brand's colour. (In dark mode they have that of responsive.css.)"""
    return _PLAIN_LINK.sub(rf"\1color: {as_text(colour)}", html)


@lru_cache(maxsize=256)
def _variant(
    language: str,
    has_action: bool,
    has_image: bool,
    has_why: bool,
    has_unsubscribe: bool,
    has_kicker: bool,
    has_css: bool,
    has_name: bool,
    has_logo: bool,
    has_accent: bool,
    has_address: bool,
) -> tuple[tuple[bool, str], ...]:
    """The layout as literal parts and the names of slots between them: (is_slot, text)."""
    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, keep_trailing_newline=True)
    direct = mirrored if is_rtl(language) else str
    document = environment.get_template("layout.html").render(
        slot=lambda name: f"\ue000{name}\ue000",
        language=language,
        direction="rtl" if is_rtl(language) else "ltr",
        words=words_of(language),
        words_language=None if words_in(language) else _LAST_RESORT,
        has_action=has_action,
        has_image=has_image,
        has_why=has_why,
        has_unsubscribe=has_unsubscribe,
        has_kicker=has_kicker,
        has_css=has_css,
        has_name=has_name,
        has_logo=has_logo,
        has_accent=has_accent,
        has_address=has_address,
        css=Markup(direct((FOLDER / "layout.css").read_text())),
        brand_css=Markup((FOLDER / "brand.css").read_text().strip()),
        responsive_css=Markup(direct((FOLDER / "responsive.css").read_text().strip())),
    )
    parts = _INLINER.inline(document).replace(' data-css-inline="keep"', "").split("\ue000")
    return tuple((index % 2 == 1, part) for index, part in enumerate(parts))
