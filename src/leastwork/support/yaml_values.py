"""YAML as plain values, of bounded size: what a file may hold is counted before it is built.

A short file can stand for a huge tree, by aliases of aliases, or for one so deep that whoever walks it fails. Both are
refused as they are read, and so is a value that YAML's own constructors cannot make, such as the date 2001-99-99.
"""

from pathlib import Path
from typing import Any

import yaml

from leastwork.errors import ConfigError
from leastwork.support.files import readable
from leastwork.support.text import brief, quoted

__all__ = ["read_yaml", "yaml_value"]

_MOST_BYTES = 1 << 18
_MOST_NODES = 20_000
_MOST_LEVELS = 40
_LONGEST_NUMBER = 100
_STRING = "tag:yaml.org,2002:str"
_REFUSED = (ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError, ArithmeticError)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader that counts what it composes."""

    def __init__(self, text: str) -> None:
        self.depth, self.nodes = 0, 0
        self.sizes: dict[int, int] = {}  # nodes at and below each node, with those that aliases repeat
        super().__init__(text)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node and all within, for each of which PyYAML calls this method."""
        event = self.peek_event()
        mark, is_alias = event.start_mark, isinstance(event, yaml.AliasEvent)
        self.depth += 1
        if self.depth > _MOST_LEVELS:
            raise _refusal(f"it is nested more than {_MOST_LEVELS} deep", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if node is None:
            return None
        if is_alias and id(node) not in self.sizes:
            raise _refusal("an alias stands within its own anchor", mark)
        size = self.sizes.setdefault(id(node), 1 + sum(self.sizes[id(part)] for part in _parts(node)))
        self.nodes = max(self.nodes + 1, size)
        if self.nodes > _MOST_NODES:
            raise _refusal(f"it stands for more than {_MOST_NODES} values", mark)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node, or a refusal that says where it is."""
        if isinstance(node, yaml.ScalarNode) and node.tag != _STRING and len(node.value) > _LONGEST_NUMBER:
            raise _refusal(f"{quoted(node.value)} is too long for a number", node.start_mark)
        try:
            if isinstance(node, yaml.ScalarNode):
                node.value.encode("utf-8")  # half of a pair of surrogates is no character
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except _REFUSED:
            what = quoted(node.value) if isinstance(node, yaml.ScalarNode) else "this"
            kind = quoted(node.tag.rpartition(":")[2])
            raise _refusal(f"{what} is no value of the type {kind}", node.start_mark) from None

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Put what ``<<`` names into a mapping, each of whose own keys stands there once."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _refusal(f"the key {quoted(key.value)} appears twice", key.start_mark)
                seen.add(key.value)
        super().flatten_mapping(node)
        merged: dict[tuple[str, str] | int, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:  # keys of its own come last, and win
            merged[(key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)] = (key, value)
        node.value = list(merged.values())


def read_yaml(path: Path) -> Any:
    """The values in a YAML file.

    Raises:
        ConfigError: no file of text, or no YAML of a reasonable size.
    """
    try:
        with readable(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): give a YAML file") from None
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"{path} holds more than {_MOST_BYTES >> 10} KiB: give a YAML file of keys and values")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text in UTF-8: save it so, or give a YAML file") from None
    return yaml_value(text, str(path))


def yaml_value(text: str, where: str) -> Any:
    """The values in a text in YAML.

    Args:
        text: the text.
        where: the file, for messages.

    Raises:
        ConfigError: it is no YAML, holds a value that cannot be, or stands for too much.

    >>> yaml_value("steps: 50", "a.yaml")
    {'steps': 50}
    """
    if len(text) > _MOST_BYTES:
        raise ConfigError(f"{where} is longer than {_MOST_BYTES >> 10} KiB: give keys and values")
    try:
        return _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}, line {mark.line + 1}" if mark else where
        problem = brief(error.problem or "it is cut short")
        raise ConfigError(f"{place} is not YAML ({problem}): check indentation, colons and quotes") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is not YAML ({brief(error)}): give a text file of keys and values") from None
    except _REFUSED as error:  # such as a character beyond those of Unicode, or a version of 5,000 digits
        raise ConfigError(f"{where} is not YAML ({brief(error)}): give a text file of keys and values") from None


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _refusal(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
