"""A template and its type as a file: written and read again it is the same, and a bad file says where it is bad."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.catalogue.toml_files import BadFile, TemplateFile, normal, read, write
from notifier.channels import FIELDS
from notifier.core.wording import TEXTS, About, Words

SHIPPED = """titles = { en = "Order shipped", de = "Bestellung versandt" }
category = "transactional"
priority = "high"
channels = ["email", "sms"]
schema = '''
{
  "type": "object"
}'''
dedupe_window = 3600

[descriptions]
en = "Your order has left."

[about]
name = "Shipping"

[about.metadata]
"team lead" = "Mira"

[words.en."*"]
title = "It is on its way"
body = "Soon."
action_url = "{{ url }}"

[words.en.email]
subject = "On its way"
html = '''
<p class="small">Soon.</p>
<p>Yours</p>
'''

[words.de.sms]
title = "Unterwegs"
body = '''Bis "bald".'''
"""
TYPE = {
    "titles": {"en": "Order shipped", "de": "Bestellung versandt"},
    "descriptions": {"en": "Your order has left."},
    "category": "transactional",
    "priority": "high",
    "channels": ["email", "sms"],
    "schema": {"type": "object"},
    "mandatory": False,
    "to_admins": False,
    "internal": False,
    "resend_unknown": None,
    "routing": None,
    "escalate_after": None,
    "dedupe_window": 3600,
    "dedupe_near": False,
    "tracking": {"opens": False, "clicks": False},
}
FILE = TemplateFile(
    TYPE,
    About("Shipping", "", {"team lead": "Mira"}),
    {
        ("*", "en"): Words("It is on its way", "Soon.", action_url="{{ url }}"),
        ("email", "en"): Words(
            "It is on its way",
            "",
            subject="On its way",
            html='<p class="small">Soon.</p>\n<p>Yours</p>\n',
            action_url="{{ url }}",
        ),
        ("sms", "de"): Words("Unterwegs", 'Bis "bald".'),
    },
)


def test_a_file_reads_as_the_shipped_ones_do():
    assert read(SHIPPED) == FILE
    assert write(FILE) == SHIPPED


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
_WORDS = st.builds(
    lambda texts: normal(Words.of(texts)),
    st.fixed_dictionaries({name: st.one_of(st.just(""), st.just("same"), _TEXT) for name in (*TEXTS, *FIELDS)}),
)
_CONTENTS = st.dictionaries(
    st.tuples(st.sampled_from(["*", "email", "sms"]), st.sampled_from(["en", "zh-Hant"])), _WORDS, max_size=5
)
_TYPES = st.builds(
    lambda titles, schema, routing: {**TYPE, "titles": titles, "schema": schema, "routing": routing},
    st.dictionaries(_TEXT, _TEXT.filter(bool), min_size=1, max_size=3),
    st.dictionaries(_TEXT, st.one_of(st.none(), st.integers(), _TEXT), max_size=3),
    st.sampled_from([None, "escalate"]),
)


@settings(deadline=None)
@given(
    st.builds(
        TemplateFile, st.none() | _TYPES, st.builds(About, _TEXT, _TEXT, st.dictionaries(_TEXT, _TEXT)), _CONTENTS
    )
)
def test_what_is_written_and_read_again_is_the_same(file: TemplateFile):
    assert read(write(file)) == file


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ('category = "transactional"', 'category = "orders"', "line 2: category: it is one of transactional"),
        ('category = "transactional"\n', "", "category: an event type needs it"),
        ("dedupe_window = 3600", "dedupe_window = true", "line 9: dedupe_window: it is a number of seconds"),
        ("dedupe_window = 3600", "colour = 1", "line 9: colour: there is no such field"),
        ('name = "Shipping"', "name = 5", "line 15: about.name: it is a text"),
        ('en = "Your order has left."', 'en = ""', "line 11: descriptions: it says by language"),
        ('"team lead" = "Mira"', "lead = 5", "line 17: about.metadata: it is a table of texts"),
        ('subject = "On its way"', 'preheader = ""', "line 26: words.en.email.preheader: there is no such field"),
        ('title = "Unterwegs"\n', "", "line 32: words.de.sms: it needs a title"),
        ('body = "Soon."', "body = Soon.", "line 22: this is no TOML"),
        ('"type": "object"', '"type": object', "line 6: schema: it is the JSON Schema of the data"),
    ],
)
def test_a_bad_file_names_line_and_field(before: str, after: str, fault: str):
    assert before in SHIPPED
    with pytest.raises(BadFile) as raised:
        read(SHIPPED.replace(before, after))
    assert str(raised.value).startswith(fault)
