"""Rendering: what may leave in the words that are taken."""

from html.parser import HTMLParser

import pytest

from notifier.channels import CHANNELS
from notifier.core.message import Content
from notifier.core.wording import Words
from notifier.words.render import RenderFault, render
from tests.words.rendering import UNSUBSCRIBE, WHY, content, outcome, request, source


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("template", [None, source({})], ids=["no template", "an empty template"])
def test_without_words_the_types_title_is_said(channel, template):
    result = render([request(channel, template, locale="de-AT")])[0]
    assert isinstance(result, Content)
    assert (result.title, result.body) == ("Ein Gruß", "Ein Gruß")
    assert (result.html is not None) == CHANNELS[channel].shape.has_html
    assert (result.subject == "Ein Gruß") == CHANNELS[channel].shape.has_subject


def test_running_text_strings_together_what_was_written_for_any_channel():
    words = Words("Parcel for you", "It is at the depot.", action_label="Track", action_url="https://t.test/1")
    assert content("sms", words).body == "Parcel for you\nIt is at the depot.\nhttps://t.test/1"
    assert content("push", words).body == "It is at the depot."


def test_running_text_says_nothing_twice():
    words = Words("Parcel for you", "Parcel for you: https://t.test/1", action_url="https://t.test/1")
    assert content("sms", words).body == "Parcel for you\nParcel for you: https://t.test/1"


def test_a_channels_own_running_text_is_left_as_it_is():
    template = source({("sms", "en"): Words("Title", "Only this.", action_url="https://t.test/1")})
    result = render([request("sms", template)])[0]
    assert isinstance(result, Content)
    assert result.body == "Only this."


def test_an_sms_has_no_no_break_spaces():
    assert content("sms", Words("", "{{ 9.5|money('EUR') }}"), locale="de").body.isascii() is False
    result = render([request("sms", source({("sms", "de"): Words("t", "{{ 9.5|money('EUR') }}")}), locale="de")])[0]
    assert isinstance(result, Content)
    assert result.body == "9,50 €"


@pytest.mark.parametrize(
    ("approved", "expected"),
    [
        (None, ()),
        ("\n{{ id }}", ()),
        ("order_shipped\n{{ id }}\n\n{{ when|date }}", ("order_shipped de_AT", "A 1", "", "01.12.2026")),
        ("order_shipped en_US", ("order_shipped en_US",)),
        ("order_shipped en_US\n{{ id }}\r\n \n", ("order_shipped en_US", "A 1")),  # typed with a last line end
        ("order_shipped en_US\n{{ id }}\n{{ '' }}", ("order_shipped en_US", "A 1", "")),
        ("\n \n", ()),
    ],
)
def test_each_line_of_an_approved_template_is_a_parameter(approved, expected):
    """Whatever the data hold: a line break in them adds none."""
    template = source({("whatsapp", "de-AT"): Words("t", "b", extra={"approved": approved} if approved else {})})
    data = {"id": "A\n1", "when": "2026-12-01T09:00:00Z"}
    result = render([request("whatsapp", template, data, locale="de-AT")])[0]
    assert isinstance(result, Content)
    assert result.extra.get("approved", ()) == expected


def test_an_approved_template_is_for_the_channel_that_has_them():
    assert content("sms", Words("t", "b", extra={"approved": "order_shipped"})).extra == {}


CARD = {
    "buttons": "Track {{ id }}: {{ url }}\nHelp: https://shop.test/help\nBad: javascript:alert(1)\nNone: {{ none }}",
    "facts": "Order: {{ id }}\nTotal: {{ none }}\n{{ id }}: x",
    "footer": " The\n {{ id }} ",
}


def test_what_a_shape_declares_is_rendered_and_data_add_no_line_and_move_no_colon():
    """A button whose address is none, and a fact that comes out empty, are left out."""
    data = {"id": "1: http://evil.test\nx: y", "url": "https://shop.test/1", "none": ""}
    assert content("slack", Words("t", "b", extra=CARD), data).extra == {
        "buttons": (("Track 1: http://evil.test x: y", "https://shop.test/1"), ("Help", "https://shop.test/help")),
        "facts": (("Order", "1: http://evil.test x: y"), ("1: http://evil.test x: y", "x")),
        "footer": "The 1: http://evil.test x: y",
    }
    assert content("email", Words("t", "b", extra=CARD), data).extra == {}


def test_buttons_of_a_mandatory_message_lead_to_no_host_put_together_of_data():
    extra = {"buttons": "Go: https://{{ id }}.test/"}
    result = outcome("slack", Words("t", "b", extra=extra), {"id": "evil"}, is_mandatory=True)
    assert isinstance(result, RenderFault)
    assert result.field == "buttons"


def test_a_fault_in_a_parameter_is_named_by_its_line():
    template = source(
        {("whatsapp", "en"): Words("t", "b", extra={"approved": "order_shipped\n{{ here }}\n{{ missing }}"})}
    )
    result = render([request("whatsapp", template, {"here": 1})])[0]
    assert isinstance(result, RenderFault)
    assert (result.field, result.line) == ("approved", 3)


def test_one_fault_leaves_the_neighbours_alone():
    good, bad = (
        source({("*", "en"): Words("Hello {{ who }}")}),
        source({("*", "en"): Words("Fine", "one\n{{ missing }}")}),
    )
    results = render(
        [request("inapp", good, {"who": "Ada"}), request("inapp", bad), request("inapp", good, {"who": "Bob"})]
    )
    assert [r.title if isinstance(r, Content) else (r.field, r.line) for r in results] == [
        "Hello Ada",
        ("body", 2),
        "Hello Bob",
    ]


def test_a_fault_says_where_and_what():
    result = outcome("inapp", Words("ok", "one\n{{ missing }}"))
    assert str(result) == "The template failed in line 2 of the body: 'missing' is undefined"


@pytest.mark.parametrize("text", ["a\r\nBcc: x@x.test", "a\nb", "a\u2028b", "a\x0bb", "a\x85b", "a\tb"])
@pytest.mark.parametrize("field", ["title", "subject"])
def test_titles_and_subjects_are_one_line(text, field):
    result = content("email", Words("{{ text }}", "body", subject="{{ text }}"), {"text": text})
    value = getattr(result, field)
    assert "".join(value.split()) == "".join(text.split())
    assert len(value.splitlines()) == 1
    assert "\t" not in value


@pytest.mark.parametrize("char", ["\x00", "\x07", "\x1b", "\x7f", "\x9f", "\u202e", "\ud800", "\uffff"])
@pytest.mark.parametrize("channel", ["inapp", "sms", "email"])
def test_control_characters_are_removed(char, channel):
    words = Words("T {{ text }}", "B {{ text }}", "S {{ text }}", "<p>H {{ text }}</p>" if channel == "email" else None)
    result = content(channel, words, {"text": f"a{char}b"})
    said = result.title + result.body + (result.subject or "") + (result.html or "")
    assert char not in said
    assert "ab" in result.title
    assert "ab" in result.body


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://x.test/a?b=c&d=e#f", "https://x.test/a?b=c&d=e#f"),
        ("http://x.test", "http://x.test"),
        ("  https://x.test  ", "https://x.test"),
        ("HTTPS://x.test", "HTTPS://x.test"),
        ("/inbox?tab=all", "/inbox?tab=all"),
        ("//evil.test", None),
        ("/\\evil.test", None),
        ("javascript:alert(1)", None),
        ("java\nscript:alert(1)", None),
        ("https://x.test/a b", None),
        ("https://", None),
        ("https://x.test:port/", None),
        ("https://[x", None),
        ("mailto:x@x.test", None),
        ("x.test", None),
        ("https://x.test/" + "a" * 2048, None),
        ("", None),
    ],
)
def test_an_action_leads_to_a_web_address_or_a_path_of_ours(url, kept):
    result = content("inapp", Words("t", "b", action_label="Go", action_url="{{ url }}"), {"url": url})
    assert (result.action_url, result.action_label) == (kept, "Go" if kept else None)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://x.test/a.png", "https://x.test/a.png"),
        ("/a.png", None),
        ("data:image/png;base64,AA", None),
        ("", None),
    ],
)
def test_an_image_comes_from_a_web_address(url, kept):
    assert content("push", Words("t", "b", image="{{ url }}"), {"url": url}).image == kept


@pytest.mark.parametrize(
    ("channel", "label", "url", "kept"),
    [
        ("inapp", "View {{ who }}", "{{ url }}", ("View Mira", "https://x.test/1")),
        ("inapp", "View", "javascript:alert(1)", (None, None)),
        ("inapp", "View", "", (None, None)),
        ("inapp", "", "{{ url }}", (None, None)),
        ("push", "View", "{{ url }}", (None, None)),
    ],
)
def test_a_second_action_needs_its_label_and_address_and_a_channel_that_shows_it(channel, label, url, kept):
    words = Words("t", "b", action_url="https://x.test", secondary_label=label, secondary_url=url)
    result = content(channel, words, {"url": "https://x.test/1", "who": "Mira"})
    assert (result.secondary_label, result.secondary_url) == kept


def test_an_action_without_a_label_gets_one_in_the_language_of_the_words():
    template = source({("*", "de"): Words("t", "b", action_url="https://x.test")})
    result = render([request("inapp", template, locale="de")])[0]
    assert isinstance(result, Content)
    assert result.action_label == "Öffnen"


def test_a_path_in_a_mail_becomes_a_whole_address_or_is_dropped():
    words = Words("t", "b", action_label="Go", action_url="/admin/failed")
    assert content("email", words, site_url="https://notify.test").action_url == "https://notify.test/admin/failed"
    assert content("email", words).action_url is None


@pytest.mark.parametrize("channel", [name for name, channel in CHANNELS.items() if channel.shape.longest_body])
def test_a_long_body_is_cut_with_an_ellipsis(channel):
    longest = CHANNELS[channel].shape.longest_body
    result = render(
        [request(channel, source({(channel, "en"): Words("t", "{{ text }}")}), {"text": "word " * longest})]
    )[0]
    assert isinstance(result, Content)
    assert len(result.body) <= longest
    assert result.body.endswith("word..." if CHANNELS[channel].shape.is_sms else "word…")


def test_an_sms_is_shortened_and_formatted_in_its_alphabet():
    words = source({("*", "de"): Words("t", "{{ text | truncate(9) }} {{ amount | number }}")})
    data = {"text": "a long text", "amount": -12345}
    bodies = [
        one.body for one in render([request(channel, words, data, locale="de-CH") for channel in ("sms", "whatsapp")])
    ]
    assert bodies == ["t\na long t... -12'345", "t\na long t… -12\u2019345"]


def test_a_long_title_is_cut():
    assert len(content("inapp", Words("{{ text }}"), {"text": "x" * 999}).title) == 200


def test_a_title_under_what_can_be_no_language_is_said_without_one():
    said = content("inapp", None, {}, titles={"x" * 36: "Invoice"})
    assert (said.title, said.language) == ("Invoice", None)


def test_an_empty_title_gives_way_to_the_types():
    assert content("inapp", Words("{{ text }}", "b"), {"text": " \n "}).title == "A greeting"


@pytest.mark.parametrize(("name", "greeting"), [("Ada\nLovelace", "Hello Ada Lovelace,"), (None, "Hello,")])
def test_the_greeting_has_the_name_where_it_is_known(name, greeting):
    assert content("inapp", Words("t", "{{ greeting }}"), user_name=name).body == greeting


def test_data_never_hides_what_is_ours():
    data = {"greeting": "x", "user": "x", "data": "x"}
    assert (
        content("inapp", Words("t", "{{ greeting }} {{ user.name }} {{ data.user }}"), data).body
        == "Hello Alice, Alice x"
    )


def test_dates_are_the_readers_own_where_the_language_is():
    template = source(
        {("*", "en"): Words("{{ '2026-12-03'|date }}"), ("*", "de"): Words("{{ '2026-01-03'|date('long') }}")}
    )
    titles = [
        r.title
        for r in render([request("inapp", template, locale=tag) for tag in ("en", "en-GB", "de-AT", "fr")])
        if isinstance(r, Content)
    ]
    assert titles == ["Dec 3, 2026", "3 Dec 2026", "3. Jänner 2026", "Dec 3, 2026"]


MAIL = Words(
    "Title",
    "",
    "Subject",
    (
        "<p>{{ greeting }}</p><p>See <a href='https://x.test/?a=1&amp;b=2'>this</a> &amp; "
        "that.</p><ul><li>one</li><li>two</li></ul>"
    ),
)


def test_a_mails_text_is_derived_from_its_html():
    assert content("email", MAIL).body == "Hello Alice,\n\nSee this (https://x.test/?a=1&b=2) & that.\n\n- one\n- two"


def test_a_mail_of_ascii_in_short_lines_can_go_out_as_it_is():
    html = content("email", Words("Hello", "A body whose beginning is cut for the preview. " * 10), why_url=WHY).html
    assert html is not None
    assert html.isascii()
    assert "&hellip;&#847;" in html
    assert max(map(len, html.split("\n"))) <= 900


def test_a_mails_own_text_is_kept():
    assert content("email", Words("t", "My text", html="<p>My HTML</p>")).body == "My text"


def test_a_mails_html_is_made_of_its_text_where_it_has_none():
    html = content("email", Words("t", "One <two>\nthree\n\nfour")).html
    assert html is not None
    assert ">One &lt;two&gt;<br>three</p><p" in html
    assert ">four</p>" in html


def test_a_mail_names_its_action_and_links_in_both_parts():
    words = Words("t", "Text", action_label="Track", action_url="https://t.test/?a=1&b=2")
    result = content("email", words, why_url=WHY, unsubscribe_url=UNSUBSCRIBE)
    assert (
        result.body
        == f"Text\n\nTrack:\nhttps://t.test/?a=1&b=2\n\n-- \nWhy did I get this?\n{WHY}\nUnsubscribe\n{UNSUBSCRIBE}"
    )
    assert result.html is not None
    for link in ("https://t.test/?a=1&amp;b=2", WHY, UNSUBSCRIBE):
        assert f'href="{link}"' in result.html


def test_a_mail_without_unsubscribe_link_offers_none():
    result = content("email", Words("t", "Text"), why_url=WHY)
    assert "nsubscribe" not in result.body + (result.html or "")


def test_a_mail_is_a_whole_document_in_the_language_of_its_words():
    html = content("email", MAIL, locale="de").html
    assert html is not None
    assert html.startswith('<!DOCTYPE html><html lang="en"')
    assert html.rstrip().endswith("</html>")
    assert "prefers-color-scheme: dark" in html
    assert "\ue000" not in html


def test_only_mail_has_subject_and_html():
    for name, channel in CHANNELS.items():
        result = content(name, MAIL)
        assert (result.subject is not None, result.html is not None) == (
            channel.shape.has_subject,
            channel.shape.has_html,
        )


@pytest.mark.parametrize(
    "payload",
    ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "'\"><b>", "&lt;b&gt;", "</td></table><h1>"],
)
def test_data_is_escaped_wherever_it_stands_in_a_mail(payload):
    words = Words(
        "T {{ x }}",
        "",
        "S",
        '<p title="{{ x }}">{{ x }}</p>{{ x|paragraphs }}',
        action_label="{{ x }}",
        action_url="https://x.test/",
    )
    clean = content("email", words, {"x": "plain"}).html
    html = content("email", words, {"x": payload}, user_name=payload).html
    assert html is not None
    assert clean is not None
    assert html.count("<") == clean.count("<")


class Markup(HTMLParser):
    """What a mail program would see as tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    "html",
    [
        "<script>x</script>",
        "<p onclick='x'>y</p>",
        "<img src=x onerror=x>",
        "<a href='javascript:x'>y</a>",
        "<a href='&#106;avascript:x'>y</a>",
        "<a href='java\tscript:x'>y</a>",
        "<iframe src='https://x.test'></iframe>",
        "<form action='https://x.test'><input></form>",
        "<link rel=stylesheet href='file:///etc/passwd'>",
        "<style>p{}</style>",
        "<meta http-equiv=refresh content=0>",
        "<svg onload=x>",
        "<base href='https://x.test'>",
        "<p title='>' onmouseover='x'>y</p>",
        "<scr<script>ipt>x",
        "<!--[if mso]><script>x</script><![endif]-->",
        "<style data-css-inline='keep'><a <script>x</style>",
        "<svg><style><img onerror=x></style></svg>",
        "<script>" + "<a" * 4_900,
        "<style>" + "<!--" * 4_900,
        "<p title='" + "<a" * 4_900,
        '<a "' * 4_900,
        "<div>" * 90,
    ],
)
def test_a_writers_html_loses_what_no_mail_may_hold(html):
    words = Words("t", "text", html="<p>kept</p>" + html)
    document = content("email", words).html
    assert document is not None
    parser = Markup()
    parser.feed(document[document.index('<div class="content"') : document.index("</body>")])
    assert "kept" in parser.text
    assert parser.tags <= {"div", "p", "a", "img", "table", "tbody", "tr", "td", "b"}
    assert not {name for name, _ in parser.attributes if name.startswith(("on", "data-css"))}
    assert not {
        value for name, value in parser.attributes if name in {"href", "src"} and "script" in "".join(value.split())
    }


def test_more_tags_than_a_mail_can_have_are_a_fault():
    assert outcome("email", Words("t", "text", html="<div>" * 20_000)) == RenderFault(
        "a mail can have at most 5000 tags", "html"
    )


@pytest.mark.parametrize(
    ("html", "sentence"),
    [
        ("<div>" * 4_900, "tags may stand 100 deep, and this many are open at once"),
        ("<b></i>" * 101, "tags may stand 100 deep, and this many are open at once"),
        ("<p " + " ".join(f"a{n}" for n in range(51)) + ">", "a tag can have at most 50 attributes"),
    ],
    ids=["deep", "closed by another", "attributes"],
)
def test_html_that_takes_a_parser_time_with_the_square_of_its_length_is_a_fault(html, sentence):
    assert outcome("email", Words("t", "text", html=html)) == RenderFault(sentence, "html")


def test_what_is_written_like_no_tag_is_text():
    shown = content("email", Words("t", "text", html='<p>1 < 2 <a b"c>x</p>')).html
    assert shown is not None
    assert '1 &lt; 2 &lt;a b"c&gt;x' in shown


def test_unclosed_html_cannot_break_the_layout():
    result = content("email", Words("t", "text", html="<div><table><tr><td>x</div></body></html>"), why_url=WHY)
    assert isinstance(result.html, str)
    assert result.html.count("<html") == result.html.count("</html>") == 1
    assert result.html.index("x</td>") < result.html.index(WHY)


def test_rendering_nothing_gives_nothing():
    assert render([]) == []


def test_a_fault_is_a_value():
    assert outcome("inapp", Words("{% if %}")) == RenderFault(
        "Expected an expression, got 'end of statement block'", "title", 1
    )
