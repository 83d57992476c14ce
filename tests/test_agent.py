"""What is in force, by source: the file, the control plane, the last good snapshot."""

import asyncio
import threading
from functools import partial
from pathlib import Path

import msgspec
import pytest

from proxy.agent import Agent, first_snapshot
from proxy.discovery.following import Discovery
from proxy.discovery.make import make_finder
from proxy.model.config import Config, Traffic, traffic_of
from proxy.model.found import sources_of
from proxy.model.parse import parse_config
from proxy.model.wire import Install, Snapshot
from proxy.sync.file import FileWatch
from proxy.sync.state import StateFile
from proxy.telemetry.metrics import Registry
from proxy.worker import Worker
from tests.support.configs import PORTS_FREE
from tests.support.running import eventually


def following(folder: Path) -> str:
    return PORTS_FREE + (
        f'control: {{url: "http://127.0.0.1:1", state_file: "{folder / "state" / "good.json"}"}}\n'
    )


def traffic(**weights: int) -> Traffic:
    config = parse_config(PORTS_FREE)
    service = msgspec.structs.replace(config.services["shop"], weights=weights)
    return Traffic(services={"shop": service}, routes=config.routes)


async def agent_for(folder: Path, text: str) -> Agent:
    path = folder / "proxy.yaml"
    path.write_text(text)
    config = parse_config(text)
    worker = Worker(config)
    snapshot, source = first_snapshot(config)
    discovery = Discovery(
        partial(make_finder, settings=config.discovery, open_watch=lambda p, t: FileWatch(p, "", t))
    )
    discovery.follow(sources_of(snapshot.traffic))
    await discovery.tried(config.discovery.timeout_s)
    assert await worker.install(Install(config, snapshot, discovery.found)) == ()
    return Agent(path, text, config, snapshot, source, discovery, worker, lambda: None)


def share(agent: Agent, version: str) -> float:
    return {t.version: t.share for t in agent.router().versions}[version]


async def ended(agent: Agent) -> None:
    await agent.leave(grace=False)
    await agent.stop()
    await agent._discovery.stop()


def test_the_file_is_in_force_until_it_is_wrong(tmp_path: Path) -> None:
    async def run() -> None:
        agent = await agent_for(tmp_path, PORTS_FREE)
        assert (agent.running().source, agent.running().revision) == ("file", 1)
        await agent.take_file(PORTS_FREE.replace("canary: 5}", "canary: 95}"))
        assert agent.running().revision == 2
        assert share(agent, "canary") == 0.5
        before = agent.running()
        for wrong in (
            "services: [",
            PORTS_FREE.replace("canary: 5}", "canary: -5}"),
            PORTS_FREE.replace("name: web", "name: internet"),
            PORTS_FREE.replace('admin: {bind: "127.0.0.1:0"}', 'admin: {bind: "127.0.0.1:9"}'),
            PORTS_FREE + "access_log: {}\n",
        ):
            await agent.take_file(wrong)
            assert agent.running() == before
        assert (await agent.proxy_state()).rejected == 5
        await ended(agent)

    asyncio.run(run())


def test_the_control_plane_takes_the_place_of_the_files_traffic(tmp_path: Path) -> None:
    async def run() -> None:
        text = following(tmp_path)
        agent = await agent_for(tmp_path, text)
        pushed = Snapshot(7, traffic(stable=50, canary=50), store="s")
        assert await agent.take_control(pushed) == ()
        running = agent.running()
        assert (running.source, running.revision, running.store) == ("control", 7, "s")
        assert share(agent, "canary") == 0.5
        # The file still says what the process itself needs, but no weights.
        await agent.take_file(text.replace("canary: 5}", "canary: 1}") + "debug_header: true\n")
        assert agent.running().config.debug_header
        assert agent.running().revision == 7
        assert share(agent, "canary") == 0.5
        await ended(agent)

        # The next start begins where this one ended, without the control plane.
        snapshot, source = first_snapshot(parse_config(text))
        assert source == "state"
        assert snapshot == pushed

    asyncio.run(run())


def test_what_the_control_plane_sends_is_in_force_before_it_is_on_the_disk(tmp_path: Path) -> None:
    async def run() -> None:
        text = following(tmp_path)
        agent = await agent_for(tmp_path, text)
        assert agent._state is not None
        may_write = threading.Event()
        write = agent._state._write

        def slowly(call: int, wanted: Snapshot) -> bool:
            assert may_write.wait(20)
            return write(call, wanted)

        agent._state._write = slowly  # type: ignore[method-assign, assignment]
        for revision, canary in ((7, 50), (8, 100)):
            pushed = Snapshot(revision, traffic(stable=100 - canary, canary=canary), store="s")
            assert await agent.take_control(pushed) == ()  # it is acknowledged now
            assert (agent.running().revision, share(agent, "canary")) == (revision, canary / 100)
        assert not (tmp_path / "state").exists()
        may_write.set()
        await ended(agent)  # who ends in order writes first
        assert first_snapshot(parse_config(text)) == (pushed, "state")

    asyncio.run(run())


def test_a_snapshot_that_contradicts_itself_is_refused_whole(tmp_path: Path) -> None:
    async def run() -> None:
        agent = await agent_for(tmp_path, following(tmp_path))
        before = agent.running()
        bad = Snapshot(8, traffic(stable=0, canary=0), store="s")
        problems = await agent.take_control(bad)
        assert [problem.field for problem in problems] == ["services.shop.weights"]
        assert agent.running() == before
        assert (await agent.proxy_state()).rejected == 1
        assert not (tmp_path / "state").exists(), "only what is good is kept"
        await ended(agent)

    asyncio.run(run())


def test_a_kept_snapshot_that_no_longer_compiles_gives_way_to_the_file(tmp_path: Path) -> None:
    async def run() -> None:
        text = following(tmp_path)
        bad = Snapshot(8, traffic(stable=0, canary=0), store="s")
        assert await StateFile(tmp_path / "state" / "good.json").write(bad)
        snapshot, source = first_snapshot(parse_config(text))
        assert source == "file"
        assert snapshot.traffic == traffic_of(parse_config(text))

    asyncio.run(run())


def test_readiness_needs_routes_and_ends_with_the_drain(tmp_path: Path) -> None:
    async def run() -> None:
        bare = following(tmp_path).split("services:")[0] + following(tmp_path).splitlines()[-1]
        agent = await agent_for(tmp_path, bare)
        assert agent.readiness()[0] is False
        assert "no routes" in agent.readiness()[1]
        await agent.take_control(Snapshot(1, traffic(stable=1, canary=1), store="s"))
        assert agent.readiness() == (True, "revision 1 from control")
        await ended(agent)
        assert agent.readiness() == (False, "leaving")

    asyncio.run(run())


@pytest.mark.parametrize("config", [parse_config(PORTS_FREE)])
def test_a_worker_refuses_without_losing_what_it_has(config: Config) -> None:
    async def run() -> None:
        worker = Worker(config)
        good = Snapshot(1, traffic_of(config))
        assert await worker.install(Install(config, good)) == ()
        assert await worker.install(Install(config, Snapshot(2, traffic(stable=0, canary=0)))) != ()
        assert (await worker.counts()).versions[0] == Registry().counts().versions[0]
        assert await worker.drain(1.0)

    asyncio.run(run())


def test_what_is_found_comes_into_force_without_a_new_revision(tmp_path: Path) -> None:
    listed = tmp_path / "endpoints.yaml"

    def write(*urls: str) -> None:
        new = tmp_path / "new"
        new.write_text(f"endpoints: {list(urls)}")
        new.replace(listed)

    async def run() -> None:
        write("http://10.0.0.1:80")
        text = PORTS_FREE.replace('"http://127.0.0.1:1"', f'"file://{listed}"')
        agent = await agent_for(tmp_path, text)
        taking = asyncio.create_task(agent._take_found())
        assert endpoints(agent, "stable") == ("http://10.0.0.1:80",)
        write("http://10.0.0.1:80", "http://10.0.0.2:80")
        await eventually(lambda: len(endpoints(agent, "stable")) == 2)
        assert agent.running().revision == 1
        listed.unlink()
        await eventually(lambda: bool(agent._discovery.states()[0].trouble))
        assert len(endpoints(agent, "stable")) == 2
        # A configuration that is refused changes nothing of what is followed.
        await agent.take_file(
            text.replace("file://", "dns://").replace("canary: 5}", "canary: -1}")
        )
        assert [state.source for state in (await agent.proxy_state()).sources] == [
            f"file://{listed}"
        ]
        await agent.take_file(PORTS_FREE)
        assert (await agent.proxy_state()).sources == ()
        taking.cancel()
        await ended(agent)

    asyncio.run(run())


def test_a_new_source_is_asked_before_its_configuration_is_in_force(tmp_path: Path) -> None:
    listed = tmp_path / "endpoints.yaml"
    listed.write_text("endpoints: ['http://10.0.0.1:80']")

    async def run() -> None:
        agent = await agent_for(tmp_path, PORTS_FREE)
        await agent.take_file(PORTS_FREE.replace('"http://127.0.0.1:1"', f'"file://{listed}"'))
        assert agent.running().revision == 2
        assert endpoints(agent, "stable") == ("http://10.0.0.1:80",)
        await ended(agent)

    asyncio.run(run())


def endpoints(agent: Agent, version: str) -> tuple[str, ...]:
    return {t.version: t.endpoints for t in agent.router().versions}[version]
