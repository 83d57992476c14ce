"""Owns the published JSON Schema (2020-12) of the configuration, made from its types.

``python -m proxy.model.schema`` writes ``docs/config.schema.json`` for editors. It says what one
value may be; rules between fields are ``validate``'s. Never used while the proxy runs.
"""

import ast
import inspect
import json
from pathlib import Path
from typing import Any

import msgspec

from proxy.model import config as config_module
from proxy.model.config import Config
from proxy.model.validate import EXACTLY_ONE, optional_fields
from proxy.model.variables import REFERENCE

TARGET = Path("docs/config.schema.json")
_VARIABLE = {
    "type": "string",
    "pattern": REFERENCE,
    "description": "a value from the environment: ${NAME} or ${NAME:-default}",
}


def config_schema() -> dict[str, Any]:
    """The JSON Schema of one proxy's file."""
    (root,), types = msgspec.json.schema_components([Config], ref_template="#/$defs/{name}")
    texts = _field_docs()
    for name, schema in types.items():
        fields: dict[str, Any] = schema["properties"]
        _add_defaults(getattr(config_module, name), fields)
        for field, value in fields.items():
            fields[field] = _open_to_variables(value)
            if text := texts.get((name, field)):
                fields[field]["description"] = text
    for kind in EXACTLY_ONE:
        _take_exactly_one(types[kind.__name__], optional_fields(kind))
    types = {name: types[name] for name in sorted(types)}
    whole: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Splitway proxy configuration",
        **root,
        "$defs": types,
    }
    # As JSON has it: msgspec's tuples become lists.
    return dict(json.loads(json.dumps(whole)))


def schema_text() -> str:
    """The schema as it stands in its file."""
    return json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n"


def _field_docs() -> dict[tuple[str, str], str]:
    """The texts under the fields of ``config``'s classes, by class and field."""
    found = {}
    for owner in ast.parse(inspect.getsource(config_module)).body:
        if not isinstance(owner, ast.ClassDef):
            continue
        for field, text in zip(owner.body, owner.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                words = inspect.cleandoc(ast.literal_eval(text.value))
                found[owner.name, ast.unparse(field.target)] = " ".join(words.split())
    return found


def _add_defaults(kind: Any, fields: dict[str, Any]) -> None:
    """msgspec writes no default that a function makes."""
    for field in msgspec.structs.fields(kind):
        if field.default_factory is not msgspec.NODEFAULT:
            fields[field.encode_name]["default"] = msgspec.to_builtins(field.default_factory())


def _open_to_variables(schema: Any) -> Any:
    """Lets ``${NAME}`` stand wherever a plain text would be refused."""
    if isinstance(schema, list):
        return [_open_to_variables(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") in ("integer", "number", "boolean") or (
        schema.get("type") == "string" and "pattern" in schema
    ):
        outer = {key: schema[key] for key in ("description", "default") if key in schema}
        inner = {key: value for key, value in schema.items() if key not in outer}
        return {**outer, "anyOf": [inner, _VARIABLE]}
    kept = {"default", "propertyNames"}
    return {
        key: value if key in kept else _open_to_variables(value) for key, value in schema.items()
    }


def _take_exactly_one(schema: dict[str, Any], names: list[str]) -> None:
    """One of these properties, and no null: what is not meant is left out."""
    schema["oneOf"] = [{"required": [name]} for name in names]
    for name in names:
        field = schema["properties"][name]
        field.pop("default")
        field["anyOf"] = [kind for kind in field["anyOf"] if kind != {"type": "null"}]


def main() -> None:
    """Writes the schema's file; run it in the repository's root."""
    TARGET.write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
