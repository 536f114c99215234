"""The fields that several channels declare, or one that has several providers. Others stand in their provider's file.

Limits are the least of those of the services that show a field.
"""

import re

from notifier.core.shape_fields import ShapeField

_NAME_OF_APPROVED = re.compile(r"(?:[a-z0-9_]{1,512}|HX[0-9a-f]{32})(?: [a-z]{2,3}(?:_[A-Za-z]{2,8})*)?")


def _check_approved(number: int, value: str) -> str | None:
    if number == 0 and not _NAME_OF_APPROVED.fullmatch(value):
        return "the first line is its name, with a language if need be: order_shipped, or order_shipped en_US"
    return None


def _with_language(lines: tuple[str, ...], locale: str) -> tuple[str, ...]:
    """The name has the words' language where it names none. Without a name there is no template."""
    if not lines or not lines[0]:
        return ()
    name, *parameters = lines
    return (name if " " in name else f"{name} {locale.replace('-', '_')}", *parameters)


BUTTONS = ShapeField(
    "buttons",
    "Further buttons",
    "A label, a colon and an address in each line. One without an address is left out.",
    "links",
    longest=2_000,
    longest_label=75,
    most=4,
)
FACTS = ShapeField(
    "facts",
    "Facts",
    "A label, a colon and a text in each line, shown as a table. One without a text is left out.",
    "pairs",
    longest=1_000,
    longest_label=150,
    most=10,
)
FOOTER = ShapeField("footer", "Footer", "A small line below everything else.", longest=300)
APPROVED = ShapeField(
    "approved",
    "Approved template",
    "The name of a message template that the provider has approved (`order_shipped`, with a language if it is not that "
    "of these words: `order_shipped en_US`; with Twilio its content sid), then one of its parameters in each line. "
    "Without it only people who have written in the last 24 hours are reached.",
    "list",
    longest=1_024,
    check=_check_approved,
    finish=_with_language,
    in_every_language=True,
)
APPROVED_BUTTONS = ShapeField(
    "approved_buttons",
    "Buttons of the approved template",
    "For each button of the approved template what its address ends with, a line each; of one that copies a code, the "
    "code. With Twilio they are among the parameters.",
    "list",
    longest=2_000,
    most=10,
)
SPELLED = ShapeField(
    "spelled",
    "Spelled out",
    "A text in each line that is said one character at a time wherever it occurs, such as {{ order_id }}. Numbers of "
    "four digits and more are anyway.",
    "list",
    longest=100,
    most=5,
)
PLAIN_SIGNS = ShapeField(
    "plain_signs",
    "Plain signs",
    "Typographic quotes, dashes, ellipses and spaces become plain ones where an SMS needs no more segments with them. "
    "In the API: on.",
    "switch",
)
