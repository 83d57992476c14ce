"""Owns the page that shows the OpenAPI document to people. Never runs a script, never asks another
host for anything: what the page may do is nothing but its one style."""

import base64
import hashlib
import json
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem; border-top: 1px solid #bbb; padding-top: 1rem; font-size: 1.1rem }
code, pre { font: 14px/1.4 ui-monospace, monospace; background: #f4f4f4; padding: 0 .2em }
pre { padding: .7em; overflow-x: auto }
table { border-collapse: collapse } td, th { text-align: left; padding: .2em 1em .2em 0 }
@media (prefers-color-scheme: dark) {
  body { background: #181818; color: #ddd } code, pre { background: #282828 } a { color: #8bf }
}
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's Content-Security-Policy."""


def page(document: dict[str, Any]) -> str:
    """The document as HTML."""
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    operations = "".join(
        _operation(method, path, told)
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    )
    types = "".join(
        f'<h2 id="{escape(name)}">{escape(name)}</h2><pre>{_json(schema)}</pre>'
        for name, schema in document["components"]["schemas"].items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f"<p>{escape(info['description'])} The same for programs: "
        f"<code>/v1/openapi.json</code>.</p>{operations}<h1>Types</h1>{types}</body></html>"
    )


def _operation(method: str, path: str, told: dict[str, Any]) -> str:
    rows = [
        (each["name"], each["in"], _json(each["schema"]), escape(each["description"]))
        for each in told["parameters"]
    ]
    parameters = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{where}</td><td><code>{schema}</code></td>"
        f"<td>{text}</td></tr>"
        for name, where, schema, text in rows
    )
    body = told.get("requestBody", {}).get("content", {})
    answers = "".join(
        f"<tr><td>{status}</td><td>{escape(answer['description'])}</td>"
        f"<td>{_contents(answer.get('content', {}))}</td></tr>"
        for status, answer in told["responses"].items()
    )
    return (
        f'<h2 id="{escape(told["operationId"])}"><code>{method.upper()} {escape(path)}</code></h2>'
        f"<p>{escape(told['summary'])} {escape(told['description'])}</p>"
        + (f"<table>{parameters}</table>" if parameters else "")
        + (f"<p>Body: {_contents(body)}</p>" if body else "")
        + f"<table>{answers}</table>"
    )


def _contents(content: dict[str, Any]) -> str:
    return ", ".join(f"{escape(media)}: {_kind(each['schema'])}" for media, each in content.items())


def _kind(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if "$ref" not in schema:
        return f"<code>{_json(schema)}</code>"
    name = escape(schema["$ref"].rpartition("/")[2])
    return f'<a href="#{name}">{name}</a>'


def _json(schema: Any) -> str:
    return escape(json.dumps(schema, ensure_ascii=False, indent=None if _small(schema) else 2))


def _small(schema: Any) -> bool:
    return len(json.dumps(schema)) < 120
