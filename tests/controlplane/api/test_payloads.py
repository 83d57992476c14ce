"""A script in every field that is kept or shown runs nowhere: answers are data, and say so."""

import asyncio
from html.parser import HTMLParser
from pathlib import Path

from proxy.model.errors import Problem
from proxy.model.wire import Hello
from tests.controlplane.support import Api, control

PAYLOAD = "</pre></script><script>alert(1)</script><img src=x onerror=alert(1)>"
DATA = {"application/json", "application/problem+json", "application/jsonl", "text/plain"}
DOCUMENT = {
    "services": {
        "shop": {
            "versions": {
                "stable": {
                    "endpoints": ["http://127.0.0.1:9001"],
                    "request_headers": {"set": {"X-Note": PAYLOAD}},
                }
            },
            "weights": {"stable": 1},
            "salt": PAYLOAD,
        }
    },
    "routes": [
        {"match": {"path": {"exact": "/a"}}, "respond": {"status": 200, "body": PAYLOAD}},
        {"match": {"path": {"prefix": "/"}}, "service": "shop"},
    ],
}
READ = (
    *("/v1/config", "/v1/services", "/v1/services/shop", "/v1/services/shop/weights"),
    *("/v1/revisions", "/v1/revisions/1", "/v1/revisions/1/diff", "/v1/audit", "/v1/audit/export"),
    *("/v1/freeze", "/v1/proxies", "/v1/convergence", "/v1/openapi.json", "/v1/docs", "/metrics"),
    f"/v1/services/{PAYLOAD.replace('/', '%2F')}",
    f"/{PAYLOAD}",
    f"/v1/config?x={PAYLOAD}",
)


class Scripts(HTMLParser):
    """Finds what a browser might run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "img", "iframe", "object", "embed", "link", "base", "form"):
            self.found.append(tag)
        self.found += [name for name, _ in attrs if name.startswith("on") or name == "style"]


async def plant(api: Api) -> None:
    """Wherever the API keeps a text."""
    answer = await api.call(
        "PUT", "/v1/config", json=DOCUMENT, params={"reason": PAYLOAD}, headers={}
    )
    assert answer.status == 200, answer.body
    answer = await api.put("/v1/services/shop/freeze", {"reason": PAYLOAD})
    assert answer.status == 200, answer.body


def test_a_payload_in_every_field_fires_no_script(tmp_path: Path) -> None:
    async def scenario() -> None:
        shown = 0
        async with control(tmp_path) as api:
            await plant(api)
            async with api.stream() as proxy:
                place = {"pod": PAYLOAD[:63]}
                await proxy.say(Hello(PAYLOAD, PAYLOAD[:63], zone=PAYLOAD[:63], place=place))
                await proxy.snapshot()
                await proxy.nack(1, Problem(PAYLOAD, PAYLOAD))
                for path in READ:
                    # As a browser that hopes for a page.
                    headers = {"Accept": "text/html,*/*", "X-Request-Id": PAYLOAD}
                    async with api.session.get(f"{api.url}{path}", headers=headers) as response:
                        text = await response.text()
                        shown += "<script>alert" in text
                        assert response.headers["X-Content-Type-Options"] == "nosniff", path
                        assert response.headers["X-Request-Id"] != PAYLOAD
                        policy = response.headers["Content-Security-Policy"]
                        assert policy.startswith("default-src 'none'")
                        assert "unsafe" not in policy
                        if response.content_type == "text/html":
                            assert path == "/v1/docs"
                            scripts = Scripts()
                            scripts.feed(text)
                            assert scripts.found == []
                            assert "alert(1)" not in text
                        else:
                            assert response.content_type in DATA, path
        assert shown >= 6, "the payload is nowhere to be seen: nothing was tested"

    asyncio.run(scenario())
