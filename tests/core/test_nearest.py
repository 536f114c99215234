import pytest

from notifier.core.nearest import nearest

KNOWN = ("comment", "order_delivered", "order_placed", "order_shipped")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("order_shiped", "order_shipped"),
        ("OrderShipped", "order_shipped"),
        ("order_deliverd", "order_delivered"),
        ("coment", "comment"),
        ("invoice", None),
        ("", None),
        ("order_shipped" * 1_000, None),
    ],
)
def test_the_name_that_is_spelled_most_alike_is_found(word: str, meant: str | None) -> None:
    assert nearest(word, KNOWN) == meant


def test_a_word_is_compared_with_so_many_names_at_most() -> None:
    names = iter([f"order_{number:06}" for number in range(100_000)])
    assert nearest("order_00000x", names) is not None
    assert next(names) == "order_000500"
