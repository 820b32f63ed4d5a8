"""Where the keys of a TOML file are, for `file:line` in messages. tomli knows values but not their places.

Called by config/load.py, and only for files in which something is wrong. The only user of tree-sitter. Survives any
input: what it can't follow has the place of the nearest table around it. Never says whether a file is right.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import tomli
import tree_sitter_toml
from tree_sitter import Language, Node, Parser

# Ours has three parts, and one for what is wrongly below. Bounds memory with input that nests without end.
DEPTH_MAX: Final = 6

KeyPath = tuple[str | int, ...]
_Open = tuple[Node, KeyPath]

_LANGUAGE: Final = Language(tree_sitter_toml.language())
_KEYS: Final = frozenset({"bare_key", "quoted_key", "dotted_key"})
# What keys can be in. Everything else (strings with a million escapes, comments) is passed by.
_CONTAINERS: Final = frozenset({"pair", "table", "table_array_element", "inline_table", "array", "ERROR"})
_HEADERS: Final = frozenset({"table", "table_array_element"})


class Positions:
    """Lines and columns of a file's keys."""

    def __init__(self, source: bytes) -> None:
        self._lines = source.split(b"\n")
        self._points: dict[KeyPath, tuple[int, int]] = {}
        self._elements: dict[KeyPath, int] = {}
        self._read(source)

    def of(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column (in characters) of a key, or of the nearest known table around it; both count from 1."""
        for length in range(min(len(path), DEPTH_MAX), 0, -1):
            if (point := self._points.get(tuple(path[:length]))) is not None:
                row, column = point
                return row + 1, len(self._lines[row][:column].decode(errors="replace")) + 1
        return 1, 1

    def __contains__(self, path: KeyPath) -> bool:
        return path in self._points

    def _read(self, source: bytes) -> None:
        # A stack and not recursion: the depth of the tree is the file's to choose.
        stack: list[_Open] = [(Parser(_LANGUAGE).parse(source).root_node, ())]
        while stack:
            node, base = stack.pop()
            # Reversed, so that the first of two equal keys is met first and keeps its place.
            stack.extend(reversed(list(self._children(node, base))))

    def _children(self, node: Node, base: KeyPath) -> Iterator[_Open]:
        """What is to be looked at below a node, each with the path it is at. Remembers the node's own place."""
        if len(base) >= DEPTH_MAX:
            return
        parts = node.named_children
        if node.type in _HEADERS:
            base, parts = self._header(node, parts)
        elif node.type == "pair":
            base, parts = self._pair(base, parts)
        is_array = node.type == "array"
        index = -1
        for part in parts:
            index += part.type != "comment"
            if part.type in _CONTAINERS:
                yield part, (*base, index) if is_array else base

    def _header(self, node: Node, parts: list[Node]) -> tuple[KeyPath, list[Node]]:
        base = self._resolved(_names(parts))
        if node.type == "table_array_element":
            self._points.setdefault(base, _point(node))
            self._elements[base] = self._elements.get(base, -1) + 1
            base = (*base, self._elements[base])
        self._remember(base, 0, node)
        return base, parts[1:]

    def _pair(self, base: KeyPath, parts: list[Node]) -> tuple[KeyPath, list[Node]]:
        path = (*base, *_names(parts))
        if len(path) > len(base):
            self._remember(path, len(base), parts[0])
        return path, parts[1:]

    def _remember(self, path: KeyPath, known: int, node: Node) -> None:
        """Where a path is, and so the tables above it that have no place of their own."""
        for length in range(known + 1, min(len(path), DEPTH_MAX + 1)):
            self._points.setdefault(path[:length], _point(node))
        if len(path) <= DEPTH_MAX:
            self._points[path] = _point(node)

    def _resolved(self, names: Sequence[str]) -> KeyPath:
        """A header's path: a name of an array of tables means its last element."""
        path: KeyPath = ()
        for name in names[:DEPTH_MAX]:
            path = (*path, name)
            if path in self._elements and len(path) < len(names):
                path = (*path, self._elements[path])
        return path


def _point(node: Node) -> tuple[int, int]:
    return node.start_point.row, node.start_point.column


def _names(parts: Sequence[Node]) -> list[str]:
    """The parts of the key that a header or pair starts with; none if it has no key that can be read."""
    return _key(parts[0]) if parts and parts[0].type in _KEYS else []


def _key(node: Node) -> list[str]:
    """The parts of a key as TOML understands them, with quotes and escapes undone."""
    if node.type == "bare_key":
        return [(node.text or b"").decode()]
    try:
        table = tomli.loads((node.text or b"").decode() + "=0")
    except (ValueError, RecursionError):  # half a key in a file that is not TOML: it has no name
        return []
    names = []
    value: object = table
    while isinstance(value, dict):
        name, value = next(iter(value.items()))
        names.append(name)
    return names
