"""What a template lacks in its languages."""

from notifier.core.languages import Coverage, coverage, lacking


def test_a_language_lacks_the_channels_that_another_has():
    places = [("*", "en"), ("email", "en"), ("sms", "en"), ("*", "fr"), ("email", "de"), ("push", "de")]
    assert coverage(places) == [
        Coverage("de", 2, 4, ("*", "sms")),
        Coverage("en", 3, 4, ("push",)),
        Coverage("fr", 1, 4, ("email", "push", "sms")),
    ]
    assert coverage([]) == []


def test_a_language_names_the_templates_that_lack_it():
    assert lacking({"a": ["en", "de"], "b": ["en"], "c": ["en", "fr"]}) == {"de": ("b", "c"), "fr": ("a", "b")}
    assert lacking({}) == {}
