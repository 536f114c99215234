"""A mail's HTML inlined as a template: parsed and styled once per version, so that a send only fills it in.

Called by `words.language` when it compiles the HTML of a template. Works on Jinja's syntax tree: its literal parts,
with a marker for each expression and for each end of a block, pass the HTML parser as one fragment and are cut at the
markers again. That is right for every data only if the parser leaves the markers where they are, each block opens and
closes its own tags, and no class, style or part of an entity depends on data; otherwise there is no such source, and
the mail is inlined when its data is known.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from jinja2 import nodes

from notifier.words import mail_html
from notifier.words.clean import ADDRESS_ATTRIBUTES, ATTRIBUTE, TAG, harmless_html
from notifier.words.filters import Budget

_BEGINS, _ENDS = "\ue000", "\ue001"
_MARKER = re.compile(f"{_BEGINS}([0-9]+){_ENDS}")
_MARKERS = re.compile(f"[{_BEGINS}{_ENDS}]")
_COMMENT = re.compile(f"<!--({_BEGINS}[0-9]+{_ENDS})-->")
# The parser adds the one that is missing, and would do so within a block that stands around the first row.
_TABLE_OF_ROWS = re.compile(rf"(<table\b[^<>]*>)(?=(?:\s|{_BEGINS}[0-9]+{_ENDS})*+<tr\b)", re.IGNORECASE)
_PARAGRAPHS = re.compile(rf"(<p(?:\s[^<>]*)?>)({_BEGINS}([0-9]+){_ENDS})</p>")
_TAG_OR_MARKER = re.compile(f"{TAG.pattern}|{_MARKER.pattern}")
_STYLE_OR_MARKER = re.compile(f"{mail_html.STYLE_BEGINS.pattern}|{_MARKER.pattern}", re.IGNORECASE)
_ENTITY_WITH_DATA = re.compile(f"&[#a-z0-9]*+{_BEGINS}", re.IGNORECASE)
_STYLING = frozenset({"class", "id", "style"})
_NO_TEXT = frozenset({"table", "thead", "tbody", "tfoot", "tr", "colgroup"})  # a parser puts it before the table
_WORK = 20_000  # units; what one mail may take at a send
_OPENS, _NEXT, _CLOSES, _PRINTS, _SAYS_NOTHING = "opens", "next", "closes", "prints", "says nothing"


class _NotSafe(Exception):
    """It has to be inlined with its data."""


@dataclass(slots=True)
class _Skeleton:
    """Literal text and markers. `kinds` and `printed` are by the marker's number; nothing is printed where another
    marker prints the whole value of an attribute.
    """

    text: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    printed: list[nodes.Expr | None] = field(default_factory=list)

    def mark(self, kind: str, printed: nodes.Expr | None = None) -> None:
        marker = f"{_BEGINS}{len(self.kinds)}{_ENDS}"
        self.text.append(f"<p>{marker}</p>" if _is_paragraphs(printed) else marker)
        self.kinds.append(kind)
        self.printed.append(printed)


def inline(tree: nodes.Template, *, is_rtl: bool) -> str | None:
    """Inlines the tree in place. → the media queries of its own CSS; None if that is not safe, and nothing was changed.

    Raises ValueError and TooMuchWork, as `mail_html.inlined` does.
    """
    skeleton, budget = _Skeleton(), Budget(_WORK)
    _walk(tree.body, skeleton)
    written = "".join(skeleton.text)
    cleaned = mail_html.clean(written, budget)
    try:
        if skeleton.kinds and not (
            cleaned.is_as_written
            and _is_fixed(cleaned)
            and not _ENTITY_WITH_DATA.search(written)
            and not _has_style_in_block(written, skeleton)
            and _prints_paragraphs(tree, skeleton)
        ):
            raise _NotSafe
        made = _as_comments(_TABLE_OF_ROWS.sub(r"\1<tbody>", cleaned.html))
        made = _COMMENT.sub(r"\1", mail_html.styled(made, cleaned.rules, budget, is_rtl=is_rtl))
        made = _with_paragraphs(harmless_html(made), skeleton)
        _check_places(made, skeleton)
        made = TAG.sub(lambda found: _with_values(found, skeleton), made)
    except _NotSafe:
        return None
    tree.body = _rebuilt(tree.body, iter(_MARKER.split(made)[::2]), iter(skeleton.printed))
    return "\n".join(cleaned.queries)


def _walk(body: list[nodes.Node], skeleton: _Skeleton) -> None:
    for node in body:
        if isinstance(node, nodes.Output):
            for printed in node.nodes:
                if isinstance(printed, nodes.TemplateData):
                    skeleton.text.append(_MARKERS.sub("", printed.data))
                else:
                    skeleton.mark(_PRINTS, printed)
        elif isinstance(node, nodes.If | nodes.For | nodes.With):
            skeleton.mark(_OPENS)
            for number, branch in enumerate(_branches(node)):
                if number:
                    skeleton.mark(_NEXT)
                _walk(branch, skeleton)
            skeleton.mark(_CLOSES)
        else:
            skeleton.mark(_SAYS_NOTHING)


def _branches(node: nodes.If | nodes.For | nodes.With) -> Iterator[list[nodes.Node]]:
    yield node.body
    if isinstance(node, nodes.If):
        for branch in node.elif_:
            yield branch.body
    if isinstance(node, nodes.If | nodes.For) and node.else_:
        yield node.else_


def _as_comments(text: str) -> str:
    """Markers between tags as comments, which the parser leaves where they stand, within tables too."""
    made, end = [], 0
    for tag in mail_html.tags(text):
        made += [_MARKER.sub(r"<!--\g<0>-->", text[end : tag.start()]), tag[0]]
        end = tag.end()
    return "".join([*made, _MARKER.sub(r"<!--\g<0>-->", text[end:])])


def _is_paragraphs(printed: nodes.Expr | None) -> bool:
    return isinstance(printed, nodes.Filter) and printed.name == "paragraphs"


def _with_paragraphs(made: str, skeleton: _Skeleton) -> str:
    """Text that data are broken into paragraphs of, with their inlined start tag told to the filter."""

    def replace(found: re.Match[str]) -> str:
        printed = skeleton.printed[int(found[3])]
        if not _is_paragraphs(printed):
            return found[0]
        assert isinstance(printed, nodes.Filter)
        begins = nodes.Const(found[1], lineno=printed.lineno)
        skeleton.printed[int(found[3])] = nodes.Filter(
            printed.node, "_paragraphs", [begins], [], None, None, lineno=printed.lineno
        )
        return found[2]

    return _PARAGRAPHS.sub(replace, made)


def _prints_paragraphs(tree: nodes.Template, skeleton: _Skeleton) -> bool:
    """Whether the paragraphs that it makes of data are printed as they are, and not put together with something."""
    made = sum(one.name == "paragraphs" for one in tree.find_all(nodes.Filter))
    return made == sum(map(_is_paragraphs, skeleton.printed))


def _check_places(made: str, skeleton: _Skeleton) -> None:
    """Each marker is there once, in its order, and a block's tags are closed where they were opened."""
    if any(map(_is_paragraphs, skeleton.printed)):  # the parser has taken one out of its own
        raise _NotSafe
    if [int(found[1]) for found in _MARKER.finditer(made)] != list(range(len(skeleton.kinds))):
        raise _NotSafe
    is_open: list[str] = []
    blocks: list[int] = [0]
    for found in _TAG_OR_MARKER.finditer(made):
        closes, name, _, number = found.groups()
        if number is None:
            if name.lower() in mail_html.VOID:
                continue
            if not closes:
                is_open.append(name)
            elif len(is_open) == blocks[-1] or is_open.pop() != name:
                raise _NotSafe
            continue
        kind = skeleton.kinds[int(number)]
        if kind == _PRINTS and is_open and is_open[-1].lower() in _NO_TEXT:
            raise _NotSafe
        if kind in (_NEXT, _CLOSES) and len(is_open) != blocks[-1]:
            raise _NotSafe
        if kind == _OPENS:
            blocks.append(len(is_open))
        elif kind == _CLOSES:
            blocks.pop()


def _with_values(tag: re.Match[str], skeleton: _Skeleton) -> str:
    """A tag, each of whose values that has data in it is printed as a whole."""
    numbers = [int(number) for number in _MARKER.findall(tag[0])]
    if not numbers:
        return tag[0]
    seen: list[int] = []

    def replace(found: re.Match[str]) -> str:
        name, value = found[1], (found[2] or "")[1:-1]
        inside = [int(number) for number in _MARKER.findall(value)]
        if not inside:
            return found[0]
        if name.lower() in _STYLING or any(skeleton.kinds[number] != _PRINTS for number in inside):
            raise _NotSafe
        parts: list[nodes.Expr] = []
        for index, part in enumerate(_MARKER.split(value)):
            printed = skeleton.printed[int(part)] if index % 2 else nodes.Const(html.unescape(part))
            assert printed is not None
            parts.append(printed)
        line = parts[1].lineno
        is_address = nodes.Const(name.lower() in ADDRESS_ATTRIBUTES, lineno=line)
        whole = nodes.Filter(nodes.List(parts, lineno=line), "_attribute", [is_address], [], None, None, lineno=line)
        skeleton.printed[inside[0]] = whole
        for number in inside[1:]:
            skeleton.printed[number] = None
        seen.extend(inside)
        return f' {name}="{"".join(f"{_BEGINS}{number}{_ENDS}" for number in inside)}"'

    attributes = ATTRIBUTE.sub(replace, tag[3])
    if seen != numbers:
        raise _NotSafe
    return f"<{tag[1]}{tag[2]}{attributes}>"


def _is_fixed(cleaned: mail_html.Cleaned) -> bool:
    """Whether its CSS has no data in it, and none can change what it means."""
    return not (
        cleaned.depends_on_structure or any(_MARKERS.search(text) for text in (*cleaned.rules, *cleaned.queries))
    )


def _has_style_in_block(written: str, skeleton: _Skeleton) -> bool:
    """Whether data decides if some of its CSS is there."""
    blocks = 0
    for found in _STYLE_OR_MARKER.finditer(written):
        if found[1] is None:
            if blocks:
                return True
            continue
        kind = skeleton.kinds[int(found[1])]
        blocks += (kind == _OPENS) - (kind == _CLOSES)
    return False


def _rebuilt(body: list[nodes.Node], pieces: Iterator[str], printed: Iterator[nodes.Expr | None]) -> list[nodes.Node]:
    """The statements with the inlined literals between them. Both iterators go through the whole template."""

    def said(line: int) -> Iterator[nodes.Node]:
        text = next(pieces)
        if text:
            yield nodes.Output([nodes.TemplateData(text, lineno=line)], lineno=line)

    made = list(said(body[0].lineno if body else 1))
    for node in body:
        if isinstance(node, nodes.Output):
            for part in node.nodes:
                if isinstance(part, nodes.TemplateData):
                    continue
                expression = next(printed)
                if expression is not None:
                    made.append(nodes.Output([expression], lineno=part.lineno))
                made += said(part.lineno)
            continue
        next(printed)
        if isinstance(node, nodes.If | nodes.For | nodes.With):
            node.body = _rebuilt(node.body, pieces, printed)
            for branch in node.elif_ if isinstance(node, nodes.If) else ():
                next(printed)
                branch.body = _rebuilt(branch.body, pieces, printed)
            if isinstance(node, nodes.If | nodes.For) and node.else_:
                next(printed)
                node.else_ = _rebuilt(node.else_, pieces, printed)
            next(printed)
        made += [node, *said(node.lineno)]
    return made
