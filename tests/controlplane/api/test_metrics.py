import asyncio
from pathlib import Path

import aiohttp

from tests.controlplane.support import Api, control


async def scraped(api: Api) -> str:
    async with api.session.get(f"{api.url}/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        return await response.text()


def test_a_scrape_tells_of_requests_and_proxies(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            revision = await api.push()
            async with api.proxy() as proxy:
                assert (await proxy.snapshot()).revision == revision
                await proxy.ack(revision)
                text = await scraped(api)
                assert f"splitway_control_revision {revision}.0\n" in text
                assert 'splitway_control_proxies{state="on_newest"} 1.0\n' in text
                assert 'code="200",method="PUT",route="/v1/config"} 1.0\n' in text
            await api.until_proxies(False)
            text = await scraped(api)
            assert 'splitway_control_proxies{state="connected"} 0.0\n' in text
            assert 'code="101",method="GET",route="/v1/stream"} 1.0\n' in text

    asyncio.run(scenario())


def test_names_of_services_make_no_new_series(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            for name in ("one", "two"):
                assert (await api.get(f"/v1/services/{name}")).status == 404
                assert (await api.get(f"/nowhere/{name}")).status == 404
            text = await scraped(api)
            assert 'code="404",method="GET",route="/v1/services/{name}"} 2.0\n' in text
            assert 'code="404",method="OTHER",route=""} 2.0\n' in text
            assert "one" not in text.replace("none", "")

    asyncio.run(scenario())


def test_figures_need_a_token(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            control(tmp_path) as api,
            aiohttp.ClientSession() as stranger,
            stranger.get(f"{api.url}/metrics") as response,
        ):
            assert response.status == 401

    asyncio.run(scenario())
