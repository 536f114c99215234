"""Whose words a reader understands, by CLDR's inheritance as Babel has it."""

import pytest
from babel.core import get_global
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.locales import Tables, lineage, spelled

TABLES = Tables.of(get_global("parent_exceptions"), get_global("likely_subtags"), get_global("language_aliases"))
TAGS = sorted({name.replace("_", "-") for name in TABLES.parents} | {name.replace("_", "-") for name in TABLES.likely})


@pytest.mark.parametrize(
    ("tag", "tags"),
    [
        ("pt-BR", "pt-BR pt"),
        ("pt_br", "pt-BR pt"),
        ("pt-AO", "pt-AO pt-PT pt"),
        ("es-MX", "es-MX es-419 es"),
        ("es-ES", "es-ES es"),
        ("en-GB", "en-GB en-001 en"),
        ("en-AT", "en-AT en-150 en-001 en"),
        ("de-AT", "de-AT de"),
        ("nb", "nb no"),
        ("iw", "iw he"),
        # A script is never left for another.
        ("zh-TW", "zh-TW zh-Hant-TW zh-Hant"),
        ("zh-hant-tw", "zh-Hant-TW zh-TW zh-Hant"),
        ("zh-HK", "zh-HK zh-Hant-HK zh-Hant"),
        ("zh-CN", "zh-CN zh-Hans-CN zh zh-Hans"),
        ("zh-Hans", "zh-Hans zh"),
        ("sr-Latn-RS", "sr-Latn-RS sr-Latn"),
        ("sr-ME", "sr-ME sr-Latn-ME sr-Latn"),
        ("sr-Cyrl-ME", "sr-Cyrl-ME sr sr-Cyrl"),
        ("sr-RS", "sr-RS sr-Cyrl-RS sr sr-Cyrl"),
        ("pa-PK", "pa-PK pa-Arab-PK pa-Arab"),
        # Variants, and what CLDR does not know.
        ("ca-ES-valencia", "ca-ES-valencia ca-ES ca"),
        ("x-private", "x-private x"),
        ("EN", "en"),
        ("-", ""),
        ("", ""),
    ],
)
def test_a_reader_understands_the_parents_of_their_language(tag: str, tags: str):
    assert lineage(tag, TABLES) == tuple(tags.split())


def _script(tag: str) -> str:
    """As CLDR's likely subtags say it, by another way than the code goes."""
    language, *others = tag.split("-")
    written = next((one for one in others if len(one) == 4), None)
    region = next((one for one in others if len(one) in (2, 3)), None)
    return written or next(
        TABLES.likely[name].split("_")[1] for name in (f"{language}_{region}", language) if name in TABLES.likely
    )


def test_all_of_it_can_be_read_by_the_reader_of_one():
    for tag in TAGS:
        found = lineage(tag, TABLES)
        assert found[0] == spelled(tag)
        assert len(set(found)) == len(found)
        own = [one for one in found if one.split("-")[0] == found[-1].split("-")[0]]
        assert len({_script(one) for one in own}) == 1, found


@given(st.text(max_size=35))
def test_whatever_is_given_as_a_tag_it_ends(tag: str):
    assert lineage(tag, TABLES)[:1] in ((), (spelled(tag),))
