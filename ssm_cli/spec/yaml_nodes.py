"""YAML text to nodes with their positions, and nodes to plain values.

PyYAML composes; nothing is constructed that a tree file does not ask for. What a file could do
to the reader is bounded here: its nesting (the C composer recurses and would overrun the
stack), aliases that contain themselves, and aliases that multiply.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import yaml
from yaml.constructor import SafeConstructor
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from ssm_cli.spec.keys import printable, sentence, shown
from ssm_cli.spec.problems import FILE, Problem

MAX_ALIASED = 1_000_000  # nodes that aliases may add to those written down
MAX_NESTING = 400  # levels of collections: twice MAX_DEPTH, and as much again for args
MAX_ARGS_DEPTH = 64  # levels of collections in args
MAX_DIGITS = 4300  # of a whole number: what Python reads
STR = "tag:yaml.org,2002:str"
MAP = "tag:yaml.org,2002:map"
SEQ = "tag:yaml.org,2002:seq"
MERGE = "tag:yaml.org,2002:merge"

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TooDeepError(yaml.YAMLError):
    """Collections are nested deeper than `MAX_NESTING`; `mark` is where."""

    def __init__(self, mark: yaml.Mark) -> None:
        super().__init__("nested too deep")
        self.mark = mark


class BoundedLoader(_Base):  # type: ignore[misc]  # the C loader has no types
    """PyYAML's loader with a bound on nesting.

    The composer asks the resolver about each node it goes into and out of; path resolvers,
    which these two methods are for, are not used here.
    """

    depth: ClassVar[int] = 0

    def descend_resolver(self, current_node: Node | None, _: object) -> None:
        """Count one level more."""
        self.depth += 1  # type: ignore[misc]  # the class holds the first value
        if self.depth > MAX_NESTING and current_node is not None:
            raise TooDeepError(current_node.start_mark)

    def ascend_resolver(self) -> None:
        """Count one level less."""
        self.depth -= 1  # type: ignore[misc]  # as above


def at(node: Node, path: str, message: str) -> Problem:
    """A problem at the beginning of `node`."""
    return Problem(path, message, node.start_mark.line + 1, node.start_mark.column + 1)


def compose(text: str) -> Node | Problem:
    """The one document of `text`, with aliases checked and merge keys (`<<`) resolved.

    A problem is all that is wrong where the text is no YAML, is empty or holds several documents.
    """
    loader = None
    try:
        loader = BoundedLoader(text)
        root: Node | None = loader.get_node() if loader.check_node() else None
        if root is None or (isinstance(root, ScalarNode) and not root.value):
            return Problem(FILE, sentence("is empty", "a mapping with `supervisor`"), 1, 1)
        if loader.check_node():
            wanted = "one tree in a file; write each to a file of its own"
            return at(loader.get_node(), FILE, sentence("has several YAML documents", wanted))
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        return _syntax_problem(text, error)
    finally:
        if loader is not None:
            loader.dispose()
    if ("&" in text or "<<" in text) and isinstance(root, CollectionNode):
        return _resolve_aliases(root) or root
    return root


def _syntax_problem(text: str, error: Exception) -> Problem:
    place, mark = (1, 1), None
    match error:
        case yaml.MarkedYAMLError():
            mark = error.problem_mark or error.context_mark
            said = [part for part in (error.context, error.problem) if part]
            wrong, wanted = f"is not valid YAML: {', '.join(said)}", "well-formed YAML here"
            if "maximum nesting depth" in wrong:  # PyYAML's own bound, from 6.0.4 on, is larger
                wrong, wanted = "is nested too deep", f"at most {MAX_NESTING} levels"
            if "tab character" in wrong or "'\\t'" in wrong:
                wanted = "spaces for indentation"
        case yaml.reader.ReaderError():
            # Its position counts bytes or characters, as the loader is; the first is meant.
            place = _place(text, text.find(chr(error.character)))
            wrong = f"has the character U+{error.character:04X}: {error.reason}"
            wanted = "printable text, or an escape in double quotes"
        case UnicodeEncodeError():
            place = _place(text, error.start)
            wrong, wanted = "has bytes that are no UTF-8", "text in UTF-8"
        case TooDeepError() | RecursionError():
            mark = getattr(error, "mark", None)
            wrong, wanted = "is nested too deep", f"at most {MAX_NESTING} levels"
        case _:
            wrong, wanted = "is not valid YAML", "well-formed YAML"
    line, column = (mark.line + 1, mark.column + 1) if mark else place
    return Problem(FILE, sentence(wrong, wanted), line, column)


def _place(text: str, at: int) -> tuple[int, int]:
    """The line and column of a character of a text."""
    before = text[: max(at, 0)]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _inside(node: Node) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, SequenceNode):
        yield from node.value


def _resolve_aliases(root: Node) -> Problem | None:
    """Refuse cycles and multiplication; then put merged pairs in place, innermost first."""
    sizes: dict[int, int] = {}  # of finished nodes, with every alias written out
    open_ids = {id(root)}
    stack = [(root, _inside(root))]
    while stack:
        node, rest = stack[-1]
        for inner in rest:
            if id(inner) in open_ids:
                return at(inner, FILE, sentence("contains itself", "an alias to something else"))
            if id(inner) not in sizes:
                open_ids.add(id(inner))
                stack.append((inner, _inside(inner)))
                break
        else:
            sizes[id(node)] = 1 + sum(sizes[id(inner)] for inner in _inside(node))
            open_ids.discard(id(node))
            stack.pop()
            if sizes[id(node)] - len(sizes) > MAX_ALIASED:
                wrong = f"has aliases that stand for more than {MAX_ALIASED:,} nodes"
                return at(node, FILE, sentence(wrong, "aliases that repeat less"))
            if isinstance(node, MappingNode) and (problem := _merge(node)):
                return problem
    return None


def _merge(node: MappingNode) -> Problem | None:
    own = [pair for pair in node.value if pair[0].tag != MERGE]
    if len(own) == len(node.value):
        return None
    names = {str(key.value) for key, _ in own}
    for key, merged in node.value:
        if key.tag != MERGE:
            continue
        for source in merged.value if isinstance(merged, SequenceNode) else [merged]:
            if not isinstance(source, MappingNode):
                wanted = "the alias of a mapping, or a list of them"
                return at(source, FILE, sentence("is no mapping to merge with <<", wanted))
            for pair in source.value:
                name = str(pair[0].value)
                if name not in names:
                    names.add(name)
                    own.append(pair)
    node.value = own
    return None


_CONSTRUCTOR = SafeConstructor()
_YAML = "tag:yaml.org,2002:"
_TEXT = frozenset({STR, f"{_YAML}value"})  # a bare = stands for itself
_WANTED = {
    "null": "null or ~",
    "bool": "true or false",
    "int": f"a whole number of at most {MAX_DIGITS} digits",
    "float": "a number, such as 1.5, 1e3 or .inf",
    "timestamp": "a date that exists, such as 2026-01-31, or quotes around a text",
    "binary": "text in base64",
}
"""The scalars that have a value of their own, by tag, and how they are written."""


class NoValueError(ValueError):
    """A scalar stands for no value: what is wrong with it, and what was expected."""

    def __init__(self, wrong: str, wanted: str) -> None:
        super().__init__(sentence(wrong, wanted))
        self.wrong = wrong
        self.wanted = wanted


def tag_of(node: Node) -> str:
    """The tag of a node as people write it, at most `MAX_NAME` characters.

    >>> tag_of(ScalarNode("tag:yaml.org,2002:set", ""))
    '!!set'
    """
    tag: str = node.tag
    return printable(f"!!{tag.removeprefix(_YAML)}" if tag.startswith(_YAML) else tag)


def tag_fault(node: Node) -> str:
    """What a node is that has a tag which it should not have."""
    unknown = "" if node.tag.startswith(_YAML) else "unknown "
    return f"has the {unknown}tag {tag_of(node)}"


def described(node: Node) -> str:
    """What a node is, as a complaint says it: its value, or the tag that it should not have."""
    if isinstance(node, ScalarNode):
        try:
            return f"is {shown(scalar(node))}"
        except NoValueError as error:
            return error.wrong
    plain = MAP if isinstance(node, MappingNode) else SEQ
    if node.tag != plain:
        return tag_fault(node)
    return f"is {shown({} if plain == MAP else [])}"


def scalar(node: ScalarNode) -> Any:
    """The plain value of a scalar: text, a number, a boolean, None, a date, bytes.

    Raises:
        NoValueError: its tag is none of a scalar, or its text is no value of its tag.
    """
    if node.tag in _TEXT:
        return node.value
    name = node.tag.removeprefix(_YAML)
    if name not in _WANTED or not node.tag.startswith(_YAML):
        raise NoValueError(tag_fault(node), "plain YAML")
    if name == "int" and len(node.value) > MAX_DIGITS:
        raise NoValueError(f"is a whole number of more than {MAX_DIGITS} digits", _WANTED[name])
    try:
        return SafeConstructor.yaml_constructors[node.tag](_CONSTRUCTOR, node)
    except Exception as error:  # PyYAML's constructors raise whatever their parts do
        wrong = f"is {shown(node.value)}, which is no {name}"
        raise NoValueError(wrong, _WANTED[name]) from error


def plain_value(node: Node, path: str, problems: list[Problem], depth: int = 1) -> Any:
    """The plain value of a node, aliases written out; what is wrong goes to `problems`.

    Nesting is bounded by `MAX_ARGS_DEPTH`, `depth` being the level of `node`.
    """
    if isinstance(node, ScalarNode):
        try:
            return scalar(node)
        except NoValueError as error:
            problems.append(at(node, path, str(error)))
            return None
    wrong, wanted = "", "a plain mapping or list"
    if depth > MAX_ARGS_DEPTH:
        wrong, wanted = "is nested too deep", f"at most {MAX_ARGS_DEPTH} levels"
    elif node.tag != (MAP if isinstance(node, MappingNode) else SEQ):
        wrong = described(node)
    if wrong:
        problems.append(at(node, path, sentence(wrong, wanted)))
        return None
    if isinstance(node, MappingNode):
        return _plain_mapping(node, path, problems, depth)
    return [plain_value(v, f"{path}[{i}]", problems, depth + 1) for i, v in enumerate(node.value)]


def _plain_mapping(
    node: MappingNode, path: str, problems: list[Problem], depth: int
) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, ScalarNode):
            kind = shown({} if isinstance(key_node, MappingNode) else [])
            problems.append(at(key_node, path, sentence(f"has {kind} as a key", "text")))
            continue
        inner = f"{path}.{printable(key_node.value)}"
        known = len(problems)
        name = plain_value(key_node, inner, problems)
        if len(problems) > known:
            continue
        if name in result:
            problems.append(at(key_node, inner, sentence("is there twice", "each key once")))
            continue
        result[name] = plain_value(value_node, inner, problems, depth + 1)
    return result
