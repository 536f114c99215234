"""JSON pointers (RFC 6901): the way every fault names its place in a request."""


def pointer_to(*path: str | int) -> str:
    """`pointer_to("data", "a/b", 0)` → `/data/a~1b/0`; no path at all is the whole document, `""`.

    RFC 6901, section 3: `~` is written `~0` and `/` is written `~1`. Half a surrogate pair, which JSON may escape and
    UTF-8 cannot hold, is written as its escape (`\\ud800`), so that the fault about it can be sent.
    """
    return "".join(
        "/" + str(part).replace("~", "~0").replace("/", "~1").encode(errors="backslashreplace").decode()
        for part in path
    )
