"""Endpoints found in Kubernetes: list, watch, bookmarks, a watch that is too old, a server away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.discovery.kubernetes import ApiServer, KubernetesFinder
from proxy.model.source import parse_source
from tests.support.heard import Heard, hearing, soon
from tests.support.kube_api import KubeApi, endpoint_slice, pod
from tests.support.running import run


@asynccontextmanager
async def finding(
    api: KubeApi, account: Path, url: str = "kubernetes://prod/shop:http"
) -> AsyncIterator[Heard]:
    source = parse_source(url)
    assert source is not None
    server = ApiServer(api.environment, account)
    async with hearing(KubernetesFinder(source, server, lambda: 0.5, wait=soon)) as heard:
        yield heard


def test_what_is_listed_and_then_watched(tmp_path: Path) -> None:
    async def test() -> None:
        async with KubeApi() as api:
            await api.put(endpoint_slice("a", "10.0.0.1", "10.0.0.2"))
            await api.put(endpoint_slice("other", "10.9.9.9", service="other"))
            async with finding(api, tmp_path) as heard:
                await heard.until(lambda: bool(heard.found))
                assert heard.urls() == ["http://10.0.0.1:8080", "http://10.0.0.2:8080"]
                await api.put(endpoint_slice("b", "10.0.0.3"))
                await heard.until(lambda: "http://10.0.0.3:8080" in heard.urls())
                assert len(heard.urls()) == 3
                await api.put(endpoint_slice("a", "10.0.0.1"))
                await heard.until(lambda: len(heard.urls()) == 2)
                await api.delete("b")
                await heard.until(lambda: heard.urls() == ["http://10.0.0.1:8080"])
                assert (api.lists, len(api.watches)) == (1, 1)
                assert heard.failed == []

    run(test)


def test_a_watch_goes_on_from_the_last_event_or_bookmark(tmp_path: Path) -> None:
    async def test() -> None:
        async with KubeApi() as api:
            await api.put(endpoint_slice("a", "10.0.0.1"))
            async with finding(api, tmp_path) as heard:
                await heard.until(lambda: bool(heard.found))
                before = len(heard.found)
                await api.bookmark()
                await heard.until(lambda: len(heard.found) > before)
                api.compact()
                api.cut()
                await heard.until(lambda: len(api.watches) == 2 or bool(heard.failed))
                await api.put(endpoint_slice("a", "10.0.0.2"))
                await heard.until(lambda: heard.urls() == ["http://10.0.0.2:8080"])
                assert api.lists == 1
                assert api.watches[-1] == 102

    run(test)


def test_when_the_watch_is_too_old_all_is_listed_anew(tmp_path: Path) -> None:
    async def test() -> None:
        async with KubeApi() as api:
            await api.put(endpoint_slice("a", "10.0.0.1"))
            async with finding(api, tmp_path) as heard:
                await heard.until(lambda: bool(heard.found))
                api.status = 503
                api.cut()
                await heard.until(lambda: any("503: no" in text for text in heard.failed))
                await api.delete("a")
                await api.put(endpoint_slice("b", "10.0.0.2"))
                api.compact()
                api.status = 200
                await heard.until(lambda: heard.urls() == ["http://10.0.0.2:8080"])
                assert api.lists == 2
                # Nothing was lost meanwhile.
                assert all(heard.found)

    run(test)


def test_a_server_that_refuses_with_410_itself(tmp_path: Path) -> None:
    async def test() -> None:
        async with KubeApi() as api:
            await api.put(endpoint_slice("a", "10.0.0.1"))
            async with finding(api, tmp_path) as heard:
                await heard.until(lambda: bool(heard.found))
                api.status = 410
                api.cut()
                await soon(0)
                api.status = 200
                await heard.until(lambda: api.lists >= 2)
                assert heard.urls() == ["http://10.0.0.1:8080"]

    run(test)


def test_a_watch_that_is_open_again_tells_that_all_is_well(tmp_path: Path) -> None:
    async def test() -> None:
        async with KubeApi() as api:
            await api.put(endpoint_slice("a", "10.0.0.1"))
            async with finding(api, tmp_path) as heard:
                await heard.until(lambda: bool(heard.found))
                api.status = 503
                api.cut()
                await heard.until(lambda: bool(heard.failed))
                before = len(heard.found)
                api.status = 200
                await heard.until(lambda: len(heard.found) > before)
                assert api.lists == 1

    run(test)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<html>", "JSON is malformed"),
        ('{"items": null, "metadata": {}}', "a list without a resourceVersion"),
        ('{"metadata": {"resourceVersion": "1", "continue": "c"}}', "pages do not end"),
        ('{"metadata": {"resourceVersion": "1"}, "items": [{"endpoints": 5}]}', "Expected `array"),
    ],
)
def test_answers_that_are_none(tmp_path: Path, text: str, words: str) -> None:
    async def test() -> None:
        async with KubeApi() as api:
            api.text = text
            async with finding(api, tmp_path) as heard:
                await heard.until(lambda: len(heard.failed) >= 2)
                assert words in heard.failed[0]
                assert heard.found == []

    run(test)


def test_an_event_that_cannot_be_read_leads_to_a_new_list(tmp_path: Path) -> None:
    async def test() -> None:
        async with KubeApi() as api:
            await api.put(endpoint_slice("a", "10.0.0.1"))
            async with finding(api, tmp_path) as heard:
                await heard.until(lambda: bool(heard.found))
                poison = endpoint_slice("b", "10.0.0.2")
                await api.put({**poison, "endpoints": 5})
                await heard.until(lambda: bool(heard.failed))
                await api.put(poison)
                await heard.until(lambda: len(heard.urls()) == 2)
                assert api.lists >= 2

    run(test)


def test_fields_may_be_null(tmp_path: Path) -> None:
    async def test() -> None:
        async with KubeApi() as api:
            bare = {"addresses": ["10.0.0.1"], "conditions": None, "zone": None}
            await api.put(endpoint_slice("a", bare, {"addresses": None}))
            await api.put({**endpoint_slice("b"), "endpoints": None, "ports": None})
            async with finding(api, tmp_path) as heard:
                await heard.until(lambda: heard.urls() == ["http://10.0.0.1:8080"])
                assert heard.failed == []

    run(test)


def test_pages_and_the_token_that_is_read_anew(tmp_path: Path) -> None:
    async def test() -> None:
        token = tmp_path / "token"
        token.write_text("old\n")
        async with KubeApi(token="fresh") as api:
            api.page = 2
            for number in range(5):
                await api.put(endpoint_slice(f"s{number}", f"10.0.0.{number + 1}"))
            async with finding(api, tmp_path) as heard:
                await heard.until(lambda: any("401: Unauthorized" in t for t in heard.failed))
                token.write_text("fresh\n")
                await heard.until(lambda: bool(heard.found))
                assert len(heard.urls()) == 5

    run(test)


def test_pods_that_leave_are_used_only_while_no_other_is_ready(tmp_path: Path) -> None:
    async def test() -> None:
        leaving = pod("10.0.0.1", ready=False, serving=True, terminating=True)
        async with KubeApi() as api:
            await api.put(endpoint_slice("a", leaving, pod("10.0.0.2", zone="b")))
            async with finding(api, tmp_path) as heard:
                await heard.until(lambda: heard.urls() == ["http://10.0.0.2:8080"])
                assert heard.found[-1][0].zone == "b"
                await api.put(endpoint_slice("a", leaving, pod("10.0.0.2", ready=False)))
                await heard.until(lambda: heard.urls() == ["http://10.0.0.1:8080"])
                await api.put(endpoint_slice("a"))
                await heard.until(lambda: heard.found[-1] == ())  # scaled to nothing: an answer

    run(test)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("kubernetes://prod/shop:http", 8080),
        ("kubernetes://prod/shop:9090", 9090),
        ("kubernetes://prod/shop", "name one of the service's ports: http (8080), metrics (9000)"),
        ("kubernetes://prod/shop:grpc",
         "there is no port named grpc; the service has http (8080), metrics (9000)"),
    ],
)  # fmt: skip
def test_ports(url: str, expected: int | str, tmp_path: Path) -> None:
    async def test() -> None:
        ports = ({"name": "http", "port": 8080}, {"name": "metrics", "port": 9000},
                 {"name": "dns", "port": 53, "protocol": "UDP"})  # fmt: skip
        async with KubeApi() as api:
            await api.put(endpoint_slice("a", "10.0.0.1", ports=ports))
            async with finding(api, tmp_path, url) as heard:
                await heard.until(lambda: bool(heard.found or heard.failed))
                if isinstance(expected, int):
                    assert heard.urls() == [f"http://10.0.0.1:{expected}"]
                else:
                    assert heard.failed[0] == expected

    run(test)


def test_both_families_name_the_same_pods(tmp_path: Path) -> None:
    async def test() -> None:
        async with KubeApi() as api:
            await api.put(endpoint_slice("six", "fd00::1", family="IPv6"))
            async with finding(api, tmp_path) as heard:
                await heard.until(lambda: heard.urls() == ["http://[fd00::1]:8080"])
                await api.put(endpoint_slice("four", "10.0.0.1"))
                await heard.until(lambda: heard.urls() == ["http://10.0.0.1:8080"])

    run(test)


def test_outside_a_cluster_it_says_so(tmp_path: Path) -> None:
    async def test() -> None:
        api = KubeApi()
        async with finding(api, tmp_path) as heard:
            await heard.until(lambda: bool(heard.failed))
            assert "KUBERNETES_SERVICE_HOST" in heard.failed[0]

    run(test)
