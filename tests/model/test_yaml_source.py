import pytest
import yaml

from proxy.model import yaml_source
from proxy.model.errors import ConfigError
from proxy.model.nodes import Dict, Node, Scalar, Sequence
from proxy.model.parse import parse_config
from proxy.model.report import Report
from proxy.model.yaml_source import read_nodes
from tests.support.configs import EXAMPLE, FULL


def read(text: str) -> Node:
    report = Report("")
    node = read_nodes(text, {}, report)
    report.refuse()
    return node


def test_lines_of_keys_and_items() -> None:
    node = read("a:\n  - 1\n  -\n    - x\nb: {c: 'd'}\n")
    assert isinstance(node, Dict)
    assert node.key_lines == {"a": 1, "b": 5}
    items = node.entries["a"]
    assert isinstance(items, Sequence)
    assert items.items[0] == Scalar(2, 1)
    assert items.items[1] == Sequence(4, [Scalar(4, "x")], size=2)
    assert (node.size, node.height) == (8 - 1, 3)


def test_quotes_and_core_tags_keep_text() -> None:
    node = read("- 1\n- '1'\n- !!str 1\n- ! 1\n- !!seq []\n- !!map {}\n- |-\n  1\n")
    assert isinstance(node, Sequence)
    values = [item.value for item in node.items if isinstance(item, Scalar)]
    assert values == [1, "1", "1", "1", "1"]


@pytest.mark.parametrize("text", ["!!int 1", "!!seq {}", "!!map []", "!x []", "&a !x 5"])
def test_other_tags_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not supported"):
        read(text)


def test_a_later_anchor_wins() -> None:
    node = read("- &a 1\n- &a 2\n- *a\n")
    assert isinstance(node, Sequence)
    assert node.items[2] == Scalar(2, 2)


def test_the_first_of_two_keys_is_kept() -> None:
    report = Report("")
    node = read_nodes("a: 1\nb: 2\na: 3\n", {}, report)
    assert isinstance(node, Dict)
    assert node.entries["a"] == Scalar(1, 1)
    with pytest.raises(ConfigError, match=r"^a: given twice, on line 1 and on line 3, line 3$"):
        report.refuse()


def test_json_without_spaces_and_with_tabs() -> None:
    node = read('{"a":1,\n\t"b":[null,true]}')
    assert isinstance(node, Dict)
    assert node.entries["a"] == Scalar(1, 1)
    assert node.key_lines["b"] == 2


def test_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [parse_config(text) for text in (EXAMPLE, FULL)]
    monkeypatch.setattr(yaml_source, "_LOADER", yaml.SafeLoader)
    assert [parse_config(text) for text in (EXAMPLE, FULL)] == expected
    with pytest.raises(ConfigError, match=r"control characters and line breaks are not allowed"):
        parse_config('a: "\\ud800"')
    with pytest.raises(ConfigError, match=r"not valid YAML: .*, line 1$"):
        parse_config('a: "\\U00110000"')
    with pytest.raises(ConfigError, match=r"line 2$"):
        parse_config("a: 1\nb: c: d")
