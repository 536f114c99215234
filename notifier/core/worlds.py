"""The world of test keys: people of their own, under the ids that their producers use.

A person of the test world is an ordinary row, under an id that no live person can have, so preferences, addresses,
inbox, history, erasure and export need no further code. Ids are translated where test keys' requests come in and
answers go out.

The synthetic person (SYNTHETIC, `pipeline.upkeep.synthetic`) lives there too, so what is sent to them counts nowhere:
their notifications are tests. Unlike others of that world they have an inbox, are heard through accounts of providers,
and leave neither events nor captures nor dead letters.
"""

MARK = "~"  # no id that a producer may use has one


def stored_id(user_id: str, *, is_test: bool) -> str:
    """The id as it is stored. What is marked already stays as it is."""
    return MARK + shown_id(user_id) if is_test else user_id


def shown_id(user_id: str) -> str:
    """The id as its producer knows it."""
    return user_id.removeprefix(MARK)


def is_of_tests(user_id: str) -> bool:
    return user_id.startswith(MARK)


SYNTHETIC = f"{MARK}{MARK}synthetic"  # the stored id of the synthetic person; no test key's user can have it


def has_inbox(user_id: str, *, is_test: bool) -> bool:
    """Whether in-app items are shown in an inbox. Otherwise the sandbox keeps them."""
    return not is_test or user_id == SYNTHETIC
