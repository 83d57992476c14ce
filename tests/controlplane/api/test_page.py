import asyncio
from html.parser import HTMLParser
from pathlib import Path

from controlplane.api.page import page
from tests.controlplane.support import control


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.references: set[str] = set()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        given = dict(attrs)
        self.references |= {str(given[name]) for name in ("href", "src") if name in given}
        self.ids |= {str(given["id"])} if "id" in given else set()
        assert not any(name.startswith("on") or name == "style" for name in given)


def test_the_page_tells_every_operation_and_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            document = (await api.get("/v1/openapi.json")).body
            async with api.session.get(f"{api.url}/v1/docs") as response:
                text = await response.text()
            assert response.content_type == "text/html"
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; style-src 'sha256-")
            assert "unsafe" not in policy
        tags = Tags()
        tags.feed(text)
        assert not tags.seen & {"script", "link", "img", "iframe", "form"}
        assert tags.references <= {f"#{name}" for name in tags.ids}
        for path, methods in document["paths"].items():
            for method in methods:
                assert f"<code>{method.upper()} {path}</code>" in text

    asyncio.run(scenario())


def test_what_is_shown_is_text() -> None:
    payload = "<script>alert(1)</script>"
    operation = {
        "operationId": payload,
        "summary": payload,
        "description": payload,
        "parameters": [{"name": payload, "in": "query", "schema": payload, "description": payload}],
        "responses": {"200": {"description": payload}},
    }
    document = {
        "info": {"title": payload, "version": payload, "description": payload},
        "paths": {payload: {"get": operation}},
        "components": {"schemas": {payload: {"description": payload}}},
    }
    tags = Tags()
    tags.feed(page(document))
    assert "script" not in tags.seen
