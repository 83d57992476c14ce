"""The document is what is served: by comparison with the routes, and by schemathesis' requests."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from controlplane.access import admission
from controlplane.app import Settings, build
from controlplane.store.opening import open_database
from tests.controlplane.support import ROOT, TOKEN, control, control_thread, store_url

EXAMPLES = os.environ.get("SPLITWAY_API_EXAMPLES")
"""How many requests of a kind schemathesis makes, in all of its phases; without it a few are drawn.
Trying every rule of the configuration's schema takes minutes."""

# The same draws each time: else it would fail now and then, and not for whom broke something.
DRAWN = ("--phases", "fuzzing,stateful", "--generation-deterministic")


def read_document(folder: Path) -> dict[str, Any]:
    async def scenario() -> dict[str, Any]:
        async with control(folder) as api:
            answer = await api.get("/v1/openapi.json")
            assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
            return dict(answer.body)

    return asyncio.run(scenario())


def test_every_route_is_told_and_no_other(tmp_path: Path) -> None:
    async def served() -> set[tuple[str, str]]:
        database = await open_database(store_url(tmp_path))
        app, _ = await build(database, Settings("", "", 0, TOKEN))
        await database.close()
        return {
            (route.method, route.resource.canonical)
            for route in app.router.routes()
            if route.resource and route.method != "HEAD"
        }

    paths = read_document(tmp_path)["paths"]
    told = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert told == asyncio.run(served())


def test_every_operation_says_what_it_is_and_how_it_fails(tmp_path: Path) -> None:
    document = read_document(tmp_path)
    assert document["openapi"].startswith("3.1.")
    ids = set()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            ids.add(operation["operationId"])
            assert operation["summary"].endswith("."), path
            named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}
            assert ("401" in operation["responses"]) is (operation.get("security") != [])
    assert len(ids) == sum(map(len, document["paths"].values()))


def test_every_type_is_a_schema_and_every_reference_leads_to_one(tmp_path: Path) -> None:
    document = read_document(tmp_path)
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert references_in(document) <= {f"#/components/schemas/{name}" for name in schemas}


def references_in(value: object) -> set[str]:
    if isinstance(value, dict):
        here = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return here.union(*map(references_in, value.values()))
    if isinstance(value, list):
        return set().union(*map(references_in, value))
    return set()


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/services?limit=3", "limit"),
        ("/v1/revisions?Limit=3", "Limit"),
        ("/v1/revisions?limit=3&limit=4", "limit"),
    ],
)
def test_a_parameter_that_is_not_told_is_refused(tmp_path: Path, path: str, field: str) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            answer = await api.get(path)
            assert (answer.status, answer.fields) == (422, [field])

    asyncio.run(scenario())


def test_requests_by_the_schema_and_against_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every check that schemathesis has: no 5xx, no answer that the document does not tell."""
    # It sends bad tokens all the time, and asks for 401: 429 has its own tests.
    monkeypatch.setattr(admission, "BURST", 1_000_000)
    with control_thread(tmp_path) as url:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--no-color"),
                *("--config-file", str(Path(__file__).with_name("schemathesis.toml"))),
                *("run", f"{url}/v1/openapi.json", "--header", f"Authorization: Bearer {TOKEN}"),
                *("--checks", "all", "--max-examples", EXAMPLES or "2"),
                *(("--generation-database", "none") if EXAMPLES else DRAWN),
                *("--exclude-path", "/v1/stream"),  # answers frames, not JSON
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout
