"""Owns the OpenAPI 3.1 document, made of the declared operations and of the types that validate.

Never holds a schema of its own but the problem's: what is accepted and what is told cannot differ.
Rules between fields (a weight for a version that there is) are no JSON Schema's; those are 422.
Source: the OpenAPI Specification 3.1.1.
"""

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from controlplane.api.operation import JSON, Operation, Parameter
from controlplane.api.problem import CONTENT_TYPE, ProblemDocument
from controlplane.api.rules import Reach, Rule
from controlplane.difference import Difference

_REF = "#/components/schemas/{name}"
_EVERYWHERE = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_GUARDED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
_WITH_BODY = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)
_HEADERS = {
    "ETag": {
        "description": "The revision, quoted; of what has none, a digest.",
        "schema": {"type": "string", "pattern": '^"([0-9]+|[0-9a-f]{16})"$'},
    },
}


def document(operations: Sequence[Operation], release: str) -> dict[str, Any]:
    """The OpenAPI document of these operations."""
    kinds: list[Any] = [ProblemDocument, Difference]
    for operation in operations:
        kinds += [kind for kind in (operation.body, operation.answer) if kind is not None]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    by_kind = {id(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        methods = paths.setdefault(operation.plain_path, {})
        methods[operation.method.lower()] = _described(operation, by_kind)
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "Splitway control plane",
            "version": release,
            "description": "Holds the weights and tells every proxy. See docs/api.md.",
        },
        "paths": paths,
        "components": {
            "schemas": {name: components[name] for name in sorted(components)},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }
    # As JSON has it: msgspec's tuples become lists.
    return dict(json.loads(json.dumps(whole)))


def _described(operation: Operation, by_kind: dict[int, Any]) -> dict[str, Any]:
    words = [operation.method.lower(), *operation.plain_path.strip("/").split("/")]
    told: dict[str, Any] = {
        "operationId": "-".join(word.strip("{}") for word in words),
        "summary": operation.summary,
        "description": _needs(operation.rule),
        "parameters": [_parameter(each) for each in operation.parameters],
        "responses": _responses(operation, by_kind),
    }
    if operation.body is not None:
        # YAML is read by the same rules; what a generator of requests can write is JSON.
        content = {media: {"schema": by_kind[id(operation.body)]} for media in operation.body_media}
        told["requestBody"] = {"required": True, "content": content}
    if operation.public:
        told["security"] = []
    return told


def _needs(rule: Rule) -> str:
    if rule.role is None:
        return "Needs no token."
    reach = {
        Reach.ANY: "with or without a scope",
        Reach.SERVICE: "with the service in its scope, or without one",
        Reach.ALL: "without a scope",
    }
    return f"Needs the role {rule.role}, {reach[rule.reach]}."


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.where == "path",
        "description": parameter.text,
        "schema": msgspec.json.schema(parameter.kind),
    }


def _responses(operation: Operation, by_kind: dict[int, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": operation.status.phrase}
    names = {parameter.name for parameter in operation.parameters}
    if operation.answer is not None:
        schema = by_kind[id(operation.answer)]
        if "dry_run" in names:
            schema = {"anyOf": [schema, by_kind[id(Difference)]]}
        good["content"] = {operation.media: {"schema": schema}}
    elif operation.media != JSON:
        good["content"] = {operation.media: {"schema": {"type": "string"}}}
    if names & {"If-Match", "If-None-Match"}:
        good["headers"] = _HEADERS
    responses = {str(int(operation.status)): good}
    if "If-None-Match" in names:
        responses["304"] = {"description": "That revision is the newest."}
    statuses = {*_EVERYWHERE, *operation.problems}
    if not operation.public:
        statuses |= _GUARDED
    if operation.body is not None:
        statuses.update(_WITH_BODY)
    if operation.method != "GET":
        statuses.add(HTTPStatus.INSUFFICIENT_STORAGE)
    if "If-Match" in names:
        statuses.add(HTTPStatus.PRECONDITION_FAILED)
    problem = {CONTENT_TYPE: {"schema": by_kind[id(ProblemDocument)]}}
    for status in sorted(statuses):
        responses[str(int(status))] = {"description": status.phrase, "content": problem}
    return responses
