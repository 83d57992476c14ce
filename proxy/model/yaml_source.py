"""Owns YAML text → nodes that know their lines. Never knows what the fields mean.

PyYAML gives only its events: its own composer recurses (a deep text overflows the C stack), and
knows no limits, no duplicate keys and no lines of keys.
"""

import re
from collections.abc import Mapping

import msgspec
import yaml

from proxy.model.nodes import MERGE, Dict, Node, Scalar, Sequence, Value, resolve
from proxy.model.report import Report, field_of, item_of
from proxy.model.variables import expand
from proxy.model.wording import has_control, shown

MAX_BYTES = 4 << 20
MAX_NODES = 100_000
"""After aliases are expanded: no short text may stand for a huge one."""
MAX_DEPTH = 32
"""Far above the configuration's 7 levels, far below any stack's limit."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CORE = "tag:yaml.org,2002:"


def read_nodes(text: str, env: Mapping[str, str], report: Report) -> Node:
    """The one document of a text; problems that leave a tree to look at are only noted.

    Raises: ConfigError when there is no tree to look at.
    """
    if refusal := _refusal(text):
        report.stop(*refusal)
    builder = _Builder(env, report)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: PyYAML's own scanner lets an escape or a version out of range through.
        report.stop(*_syntax(error, text))
    if builder.root is None:
        report.stop("the text is empty; a configuration is a mapping of fields", 1)
    return builder.root


def _refusal(text: str) -> tuple[str, int] | None:
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        return f"the text is longer than {MAX_BYTES} bytes", 1
    if found := _NOT_YAML.search(text):
        line = text.count("\n", 0, found.start()) + 1
        return f"character U+{ord(found[0]):04X} is not allowed in YAML", line
    return None


def _syntax(error: Exception, text: str) -> tuple[str, int]:
    mark = getattr(error, "problem_mark", None)
    index = mark.line if mark else 0
    said = f"not valid YAML: {getattr(error, 'problem', None) or error}"
    if "${" in "".join(text.splitlines()[index : index + 1]):
        said += "; inside {} or [] a `${…}` must be quoted, or else stand on a line of its own"
    return said, index + 1


class _Open(msgspec.Struct):
    """A list or mapping whose end has not come yet."""

    node: Sequence | Dict
    path: str
    anchor: str | None
    key: str | None = None
    """The key that waits for its value."""


class _Builder:
    """Takes events one by one, and keeps what is open on a list of its own: no recursion."""

    def __init__(self, env: Mapping[str, str], report: Report) -> None:
        self.root: Node | None = None
        self._env = env
        self._report = report
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}
        """None while the anchored node is still open."""
        self._size = 0
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._report.stop("a second document begins; one text is one configuration", line)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()
        elif isinstance(event, yaml.NodeEvent):
            self._take_node(event, line)

    def _take_node(self, event: yaml.NodeEvent, line: int) -> None:
        top = self._open[-1] if self._open else None
        if top and isinstance(top.node, Dict) and top.key is None:
            self._take_key(top, top.node, event, line)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._begin(event, line)
        elif isinstance(event, yaml.ScalarEvent):
            scalar = self._scalar(event, line)
            self._anchor(event.anchor, scalar)
            self._place(scalar, line)
        else:
            self._place(self._aliased(event.anchor or "", line), line)

    def _take_key(self, top: _Open, node: Dict, event: yaml.NodeEvent, line: int) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            self._report.stop("a key must be plain text, not an alias, a list or a mapping", line)
        top.key = key = event.value
        path, plain = field_of(top.path, key), event.implicit[0]
        if key == MERGE:
            self._report.add(path, "merge keys are not supported; write the fields out", line)
        elif plain and not isinstance(value := resolve(key), str):
            said = f"a key must be text, got {shown(value)}; write it in quotes: {shown(key)}"
            self._report.add(path, said, line)
        if key in node.entries:
            first = node.key_lines[key]
            self._report.add(path, f"given twice, on line {first} and on line {line}", line)
        node.key_lines.setdefault(key, line)
        self._anchor(event.anchor, Scalar(line, key))

    def _begin(self, event: yaml.CollectionStartEvent, line: int) -> None:
        path = self._path()
        mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _CORE + ("map" if mapping else "seq")):
            self._report.add(path, f"the tag {shown(event.tag)} is not supported", line)
        node = Dict(line) if mapping else Sequence(line)
        self._anchor(event.anchor, None)
        self._open.append(_Open(node, path, event.anchor))
        self._check_limits(len(self._open), 1, line)

    def _close(self) -> None:
        done = self._open.pop()
        self._anchor(done.anchor, done.node)
        self._place(done.node, done.node.line, counted=True)

    def _place(self, node: Node, line: int, counted: bool = False) -> None:
        if not counted:
            self._check_limits(len(self._open) + node.height, node.size, line)
        if not self._open:
            self.root = node
            return
        top = self._open[-1]
        top.node.size += node.size
        top.node.height = max(top.node.height, node.height + 1)
        if isinstance(top.node, Sequence):
            top.node.items.append(node)
        else:
            top.node.entries.setdefault(top.key or "", node)
            top.key = None

    def _check_limits(self, depth: int, size: int, line: int) -> None:
        self._size += size
        if depth > MAX_DEPTH:
            self._report.stop(f"nested more than {MAX_DEPTH} levels deep", line)
        if self._size > MAX_NODES:
            self._report.stop(f"more than {MAX_NODES} values, aliases counted in full", line)

    def _anchor(self, name: str | None, node: Node | None) -> None:
        if name is not None:
            self._anchors[name] = node

    def _aliased(self, name: str, line: int) -> Node:
        if name not in self._anchors:
            self._report.stop(f"alias *{name} names no anchor (&{name}) before it", line)
        node = self._anchors[name]
        if node is None:
            self._report.stop(f"alias *{name} stands inside what it names", line)
        return node

    def _path(self) -> str:
        if not self._open:
            return ""
        top = self._open[-1]
        if isinstance(top.node, Sequence):
            return item_of(top.path, len(top.node.items))
        return field_of(top.path, top.key or "")

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Scalar:
        try:
            return Scalar(line, self._value(event))
        except ValueError as error:
            self._report.add(self._path(), str(error), line)
            return Scalar(line, None, usable=False)

    def _value(self, event: yaml.ScalarEvent) -> Value:
        if event.tag not in (None, "!", _CORE + "str"):
            raise ValueError(f"the tag {shown(event.tag)} is not supported")
        text = expand(event.value, self._env)
        if has_control(text):
            raise ValueError(f"control characters and line breaks are not allowed: {shown(text)}")
        return resolve(text) if event.implicit[0] and event.tag is None else text
