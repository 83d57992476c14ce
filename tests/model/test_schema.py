import json
import runpy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from proxy.model import schema
from tests.support.configs import EXAMPLE, FULL

ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft202012Validator(schema.config_schema())


def is_valid(text: str) -> bool:
    return bool(VALIDATOR.is_valid(yaml.safe_load(text)))


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.config_schema())


def test_the_published_file_is_current() -> None:
    published = (ROOT / schema.TARGET).read_text(encoding="utf-8")
    assert published == schema.schema_text(), "run: python -m proxy.model.schema"
    assert json.loads(published) == schema.config_schema()


def test_writing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    runpy.run_path(schema.__file__, run_name="__main__")
    assert (tmp_path / schema.TARGET).read_text(encoding="utf-8") == schema.schema_text()


@pytest.mark.parametrize("text", [EXAMPLE, FULL, "control: {url: 'http://c:1'}", "{}"])
def test_good(text: str) -> None:
    VALIDATOR.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("stable: 95", "stable: ${STABLE:-95}"),
        ("connect_s: 1.5", "connect_s: ${TIMEOUT}"),
        ("debug_header: true", "debug_header: ${DEBUG:-false}"),
        ("  - service: shop", "  - service: ${SERVICE}"),
        ("url: https://control.internal:9800/", "url: ${CONTROL}"),
        ("- header: X-User-Id", "- header: ${HEADER}"),
    ],
)
def test_a_variable_may_stand_for_any_value(old: str, new: str) -> None:
    assert old in FULL
    assert is_valid(FULL.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("stable: 95", "stable: -1"),
        ("stable: 95", "stable: many"),
        ("stable: 95", "stable: 1.5"),
        ("stable: 95", "stable: ${1}"),
        ("connect_s: 1.5", "connect_s: 0"),
        ("debug_header: true", "debug_header: 1"),
        ("debug_header: true", "debug: true"),
        ("    bind: 0.0.0.0:8080\n", ""),
        ("  shop:\n", "  my shop:\n"),
        ("- header: X-User-Id", "- {header: a, cookie: b}"),
        ("- header: X-User-Id", "- {}"),
        ("- header: X-User-Id", "- {header: null}"),
        ("- client_ip", "- clientip"),
        ("        prefix: /\n", "        {prefix: /, exact: /}\n"),
        ("        prefix: /\n", "        {}\n"),
        ("url: https://control.internal:9800/", "url: control"),
        ('endpoints: ["http://api:8000"]', "endpoints: []"),
    ],
)
def test_bad(old: str, new: str) -> None:
    assert old in FULL
    assert not is_valid(FULL.replace(old, new))


def test_every_type_says_what_it_is() -> None:
    defs: dict[str, dict[str, Any]] = schema.config_schema()["$defs"]
    assert {"Config", "Service", "KeyFrom", "PathMatch"} <= defs.keys()
    assert all(kind["title"] and kind["description"] for kind in defs.values())
    assert defs["Keepalive"]["properties"]["upstream_s"]["default"] == 4.0
    assert "Node.js" in defs["Keepalive"]["properties"]["upstream_s"]["description"]
    assert defs["Config"]["properties"]["listeners"]["default"] == [
        {"name": "web", "bind": "127.0.0.1:8080"}
    ]
