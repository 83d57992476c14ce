import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.controlplane.support import control


def test_who_changed_what_newest_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            assert (await api.get("/v1/revisions")).body == {"revisions": [], "next": None}
            await api.push()
            for canary in range(1, 5):
                await api.set_weights(canary=canary)
            page = (await api.get("/v1/revisions?limit=2")).body
            assert [note["revision"] for note in page["revisions"]] == [5, 4]
            assert page["next"] == 4
            at = datetime.fromisoformat(page["revisions"][0]["at"])
            assert abs(datetime.now(UTC) - at) < timedelta(minutes=5)
            page = (await api.get("/v1/revisions?limit=3&before=4")).body
            assert [note["revision"] for note in page["revisions"]] == [3, 2, 1]
            assert page["next"] is None

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=x", "limit=-1", "limit=", "before=0"]
)
def test_a_page_that_is_none(tmp_path: Path, query: str) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            answer = await api.get(f"/v1/revisions?{query}")
            assert (answer.status, answer.fields) == (422, [query.partition("=")[0]])

    asyncio.run(scenario())
