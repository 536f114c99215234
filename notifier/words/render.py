"""Renders notifications: the final texts of each channel. No other module does this.

Called with a whole batch by `words.compose`, and by the checks and previews of templates. A template's fault does not
affect the others: it is returned as a `RenderFault` in its place. Nothing here sends or stores.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

from notifier.channels import CHANNELS
from notifier.channels.contract import Shape
from notifier.channels.fields import PLAIN_SIGNS
from notifier.core.brand import NO_BRAND, Brand
from notifier.core.message import Content
from notifier.core.record import record
from notifier.core.segments import sms_text
from notifier.core.shortening import cut
from notifier.core.wording import TemplateSource, Words
from notifier.ground.languages import is_rtl, locale_for
from notifier.words.clean import action_address, many_lines, one_line, plain_spaces, web_address
from notifier.words.fallback import DEFAULT_LOCALE, LONGEST_LOCALE, fall_backs, find_words, lineage
from notifier.words.formats import Reader
from notifier.words.language import GLOBALS, Budget, Compile, TemplateFault, Trial, compiled
from notifier.words.link_hosts import MESSAGE, strange_link
from notifier.words.mail_html import Inner, of_text
from notifier.words.mail_layout import Mail, lay_out, open_word, words_in, words_of
from notifier.words.writer import FieldFault, Writer, in_field, text_of

LONGEST_TITLE = 200
# Units of `Budget`. With the channels there are this adds up to 60,000.
_WORK_OF_A_PAGE, _WORK_OF_A_TEXT, _WORK_OF_A_NOTE = 20_000, 5_000, 3_000
_WORK_BESIDES = 30  # what a message takes that asks nothing of its template


@record
class RenderRequest:
    """One message to be rendered. `titles` is its type's name by locale, used where no template serves.

    `why_url` leads to the setting that allowed it, if it may; `unsubscribe_url` is None for messages that cannot be
    unsubscribed from. `site_url`: the base of paths in a mail. `is_mandatory`: nobody can opt out of it.
    """

    channel: str
    locale: str | None
    type: str
    template: TemplateSource | None
    titles: Mapping[str, str]
    data: Mapping[str, Any]
    user_name: str | None
    zone: ZoneInfo
    category: str
    why_url: str | None
    unsubscribe_url: str | None
    site_url: str | None = None
    is_mandatory: bool = False
    brand: Brand = NO_BRAND


@dataclass(frozen=True, slots=True)
class RenderFault:
    """Why there are no words: the template's field and line, and what happened. `str()` is a sentence for people.

    `is_too_much`: it was stopped since it took too much work.
    """

    message: str
    field: str | None = None
    line: int | None = None
    is_too_much: bool = False

    def __str__(self) -> str:
        place = " of ".join(
            filter(None, [f"line {self.line}" if self.line else None, self.field and f"the {self.field}"])
        )
        return f"The template failed in {place}: {self.message}" if place else f"The template failed: {self.message}"


def work_for(channel: str) -> int:
    """What one message of the channel may take, in the units of `Budget`. A notification by all channels takes 60 ms at
    most.
    """
    shape = CHANNELS[channel].shape
    return _WORK_OF_A_PAGE if shape.has_html else _WORK_OF_A_TEXT if shape.longest_body is None else _WORK_OF_A_NOTE


def render(requests: Sequence[RenderRequest]) -> list[Content | RenderFault]:
    """One answer each, in the same order. Never raises for what a template or its data does."""
    return [_render(request, compiled, Budget(work_for(request.channel))) for request in requests]


def render_some(requests: Sequence[RenderRequest], most: int) -> list[Content | RenderFault | None]:
    """As `render`, until `most` units of work are spent: None for each that its turn did not come to."""
    return _render_out_of(Budget(most), requests, compiled)


def try_some(requests: Sequence[RenderRequest], most: int) -> list[Content | RenderFault | None]:
    """As `render_some`, of words that are only tried: compiling them is paid for as well, and nothing is kept."""
    return try_with(Trial(Budget(most)), requests)


def try_with(trial: Trial, requests: Sequence[RenderRequest]) -> list[Content | RenderFault | None]:
    """As `try_some`, out of what is left of the trial's budget."""
    return _render_out_of(trial.budget, requests, trial)


def _render_out_of(
    budget: Budget, requests: Sequence[RenderRequest], compile: Compile
) -> list[Content | RenderFault | None]:
    results: list[Content | RenderFault | None] = []
    for request in requests:
        if budget.left <= 0:
            results.append(None)
            continue
        own = Budget(work_for(request.channel))
        results.append(_render(request, compile, own))
        budget.left -= _WORK_BESIDES + min(own.spent, own.most)
    return results


def _render(request: RenderRequest, compile: Compile, budget: Budget) -> Content | RenderFault:
    found = find_words(request.template, request.channel, request.locale) if request.template else None
    try:
        if found is None:
            return _from_titles(request, budget)
        return _from_words(request, *found, compile, budget)
    except FieldFault as fault:
        return RenderFault(fault.message, fault.field, fault.line, fault.is_too_much)


def _texts(content: Content) -> dict[str, str | None]:
    """By field; those of several values line by line."""
    shown = asdict(content)
    extra = shown.pop("extra")
    return {**shown, **{name: "\n".join(_values(value)) for name, value in extra.items()}}


def _values(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _values(one)


def _refuse_strange_links(request: RenderRequest, words: Words, fields: Mapping[str, str | None]) -> None:
    """Of a message that nobody can opt out of: links lead where its words or its data say, and to no host put together
    of both.
    """
    given = list(words.texts().values())
    for name, text in fields.items():
        if (
            text
            and strange_link(text, given, (request.data, request.user_name), (request.site_url, request.why_url))
            is not None
        ):
            raise FieldFault(MESSAGE, name)


def _from_words(
    request: RenderRequest, words: Words, owner: str, locale: str, compile: Compile, budget: Budget
) -> Content:
    shape = CHANNELS[request.channel].shape
    reader = Reader(locale_for(_spoken(request.locale, locale)), request.zone)
    greeting = _greeting(locale, request.user_name)
    variables = {
        **GLOBALS,
        **request.data,
        "data": request.data,
        "user": {"name": request.user_name or ""},
        "greeting": greeting,
    }
    writer = Writer(variables, reader, compile, budget)
    write = writer.write

    title = cut(one_line(write("title", words.title)), LONGEST_TITLE)
    body = many_lines(write("body", words.body))
    html = writer.write_html(words.html, is_rtl=is_rtl(locale)) if shape.has_html else None
    title = (
        title or _title_in(locale, request.titles) or _first_line(body or (text_of(html.html, budget) if html else ""))
    )
    if not title:
        return _from_titles(request, budget)  # nothing has been written
    action_url = action_address(write("action_url", words.action_url), request.site_url if shape.has_html else None)
    if shape.has_html and action_url is not None:
        action_url = web_address(action_url)  # a path leads nowhere from a mail
    action_label = one_line(write("action_label", words.action_label)) or open_word(locale, action_url)
    secondary_label, secondary_url = _secondary(words, write) if shape.has_secondary_action else (None, None)
    content = Content(
        title=title,
        body=body,
        subject=(cut(one_line(write("subject", words.subject)), LONGEST_TITLE) or title) if shape.has_subject else None,
        action_label=cut(action_label, LONGEST_TITLE) if action_url else None,
        action_url=action_url,
        secondary_label=secondary_label,
        secondary_url=secondary_url,
        image=web_address(write("image", words.image)),
        extra=writer.write_declared(shape.fields, words.extra, locale),
        language=locale,
    )
    if request.is_mandatory:
        _refuse_strange_links(request, words, {**_texts(content), "html": html.html if html else None})
    if shape.has_html:
        return _as_mail(request, content, html, locale, greeting, budget)
    return _as_text(content, shape, is_own=owner == request.channel)


def _spoken(reader: str | None, words: str) -> str:
    """The locale whose dates and numbers go with the words: a German text for a reader from Austria has Austrian dates;
    an English one for a Brazilian has English dates.
    """
    own = lineage(reader)
    return own[0] if words in own and own[0].split("-")[0] == words.split("-")[0] else words


def _secondary(words: Words, write: Callable[..., str]) -> tuple[str, str] | tuple[None, None]:
    """Label and URL. None without either of them: two buttons of the same name would say nothing."""
    url = action_address(write("secondary_url", words.secondary_url))
    label = cut(one_line(write("secondary_label", words.secondary_label)), LONGEST_TITLE)
    return (label, url) if label and url else (None, None)


def _from_titles(request: RenderRequest, budget: Budget) -> Content:
    tags = (*fall_backs(request.locale), *sorted(request.titles))
    locale = next((tag for tag in tags if tag in request.titles), DEFAULT_LOCALE)
    title = type_title(request.type, request.titles, locale)
    shape = CHANNELS[request.channel].shape
    language = locale if len(locale) <= LONGEST_LOCALE else None  # the API once took titles under any name
    content = Content(title=title, body=title, subject=title if shape.has_subject else None, language=language)
    return (
        _as_mail(request, content, None, locale, "", budget)
        if shape.has_html
        else _as_text(content, shape, is_own=True)
    )


def type_title(key: str, titles: Mapping[str, str], locale: str | None) -> str:
    """By the reader's language, English, or whatever there is; the key in words where there is none."""
    tags = (*fall_backs(locale), *sorted(titles))
    title = next((titles[tag] for tag in tags if tag in titles), key.replace("_", " ").capitalize())
    return cut(one_line(title), LONGEST_TITLE)


def _first_line(text: str) -> str:
    return cut(one_line(text.partition("\n")[0]), LONGEST_TITLE)


def _title_in(locale: str, titles: Mapping[str, str]) -> str | None:
    """The type's name in the language of the words; None where it has none there."""
    title = next((titles[tag] for tag in lineage(locale) if tag in titles), None)
    return title and cut(one_line(title), LONGEST_TITLE)


def _greeting(locale: str, name: str | None) -> str:
    """In a language that has no fixed words: the name alone."""
    words = words_in(locale) or {"hello": "", "hello_you": "{name},"}
    return words["hello_you"].replace("{name}", one_line(name)) if name else words["hello"]


def _as_text(content: Content, shape: Shape, *, is_own: bool) -> Content:
    """For a channel of running text, words that were written for any channel are strung together: title, text, link."""
    body = content.body
    if not shape.has_card:
        body = (
            content.body or content.title
            if is_own
            else "\n".join(_once(content.title, content.body, content.action_url))
        )
        body = plain_spaces(body)
    if shape.is_sms:
        is_plain = PLAIN_SIGNS.name in content.extra
        return replace(content, body=sms_text(body, shape.longest_body, is_plain=is_plain))
    body = cut(body, shape.longest_body)
    return content if body == content.body else replace(content, body=body)


def _once(*parts: str | None) -> Iterator[str]:
    seen = ""
    for part in parts:
        if part and part not in seen:
            seen += part
            yield part


def _as_mail(
    request: RenderRequest, content: Content, inner: Inner | None, locale: str, greeting: str, budget: Budget
) -> Content:
    """Both parts of a mail. Each is made from the other where the template has only one."""
    words = words_of(locale)
    field = "body" if inner is None else "html"
    try:
        inner = inner or of_text(content.body, budget, is_rtl=is_rtl(locale))
        body = content.body or text_of(inner.html, budget) or content.title
    except TemplateFault as fault:
        raise in_field(field, fault) from fault
    body = cut(body, CHANNELS[request.channel].shape.longest_body)
    document = lay_out(
        Mail(
            language=locale,
            category=request.category,
            kicker=_title_in(locale, request.titles),
            title=content.title,
            preheader=one_line(body.removeprefix(greeting)),
            content=inner,
            action_label=content.action_label,
            action_url=content.action_url,
            image=content.image,
            why_url=request.why_url,
            unsubscribe_url=request.unsubscribe_url,
            brand=request.brand,
        )
    )
    parts = [body]
    if content.action_url and content.action_url not in body:
        parts.append(f"{content.action_label}:\n{content.action_url}")
    foot = [
        f"{words[name]}\n{url}"
        for name, url in (("why", request.why_url), ("unsubscribe", request.unsubscribe_url))
        if url
    ]
    foot += [text for text in (request.brand.name, request.brand.address) if text]
    if foot:
        parts.append("\n".join(["-- ", *foot]))
    return replace(content, body="\n\n".join(parts), html=document)
