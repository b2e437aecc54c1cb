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

from ssm_cli.spec.keys import sentence, shown
from ssm_cli.spec.validate import FILE, Problem

MAX_ALIASED = 1_000_000  # nodes that aliases may add to those written down
MAX_NESTING = 400  # levels of collections: twice MAX_DEPTH, and as much again for args
MAX_ARGS_DEPTH = 64  # levels of collections in args
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
    loader = BoundedLoader(text)
    try:
        root: Node | None = loader.get_node() if loader.check_node() else None
        if root is None or (isinstance(root, ScalarNode) and not root.value):
            return Problem(FILE, sentence("is empty", "a mapping with `supervisor`"), 1, 1)
        if loader.check_node():
            wanted = "one tree in a file; write each to a file of its own"
            return at(loader.get_node(), FILE, sentence("has several YAML documents", wanted))
    except (yaml.YAMLError, RecursionError) as error:
        return _syntax_problem(text, error)
    finally:
        loader.dispose()
    if "&" in text and isinstance(root, CollectionNode):
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
            before = text[: text.find(chr(error.character))]
            place = before.count("\n") + 1, len(before) - before.rfind("\n")
            wrong = f"has the character U+{error.character:04X}: {error.reason}"
            wanted = "printable text, or an escape in double quotes"
        case _:
            mark = getattr(error, "mark", None)
            wrong, wanted = "is nested too deep", f"at most {MAX_NESTING} levels"
    line, column = (mark.line + 1, mark.column + 1) if mark else place
    return Problem(FILE, sentence(wrong, wanted), line, column)


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


def scalar(node: ScalarNode) -> Any:
    """The plain value of a scalar: text, a number, a boolean, None, a date, bytes.

    Raises:
        ValueError: its tag is unknown, or its text is no value of its tag.
    """
    if node.tag == STR:
        return node.value
    construct = SafeConstructor.yaml_constructors.get(node.tag)
    if construct is None:
        raise ValueError(f"has the unknown tag {node.tag}")
    try:
        return construct(_CONSTRUCTOR, node)
    except (yaml.YAMLError, ValueError, OverflowError, LookupError) as error:
        raise ValueError(f"is no {node.tag.rpartition(':')[2]}: {error}") from error


def plain_value(node: Node, path: str, problems: list[Problem], depth: int = 1) -> Any:
    """The plain value of a node, aliases written out; what is wrong goes to `problems`.

    Nesting is bounded by `MAX_ARGS_DEPTH`, `depth` being the level of `node`.
    """
    if isinstance(node, ScalarNode):
        try:
            return scalar(node)
        except ValueError as error:
            problems.append(at(node, path, sentence(str(error), "plain YAML")))
            return None
    wrong, wanted = "", "a plain mapping or list"
    if depth > MAX_ARGS_DEPTH:
        wrong, wanted = "is nested too deep", f"at most {MAX_ARGS_DEPTH} levels"
    elif node.tag not in {MAP, SEQ}:
        wrong = f"has the tag {node.tag}"
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
        inner = f"{path}.{key_node.value}"
        name = plain_value(key_node, inner, problems)
        if name in result:
            problems.append(at(key_node, inner, sentence("is there twice", "each key once")))
            continue
        result[name] = plain_value(value_node, inner, problems, depth + 1)
    return result
