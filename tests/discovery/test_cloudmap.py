"""Endpoints found in AWS Cloud Map, as moto's server plays it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from moto.server import ThreadedMotoServer

from proxy.discovery.cloudmap import CloudMapFinder, endpoints_of_instances
from proxy.model.config import Endpoint
from proxy.model.source import parse_source
from tests.support.heard import hearing, soon
from tests.support.running import run


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def cloud_map(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client with a namespace ``prod``; the proxy's own finds the same server."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    client = botocore.session.get_session().create_client("servicediscovery")
    if not client.list_namespaces()["Namespaces"]:
        client.create_http_namespace(Name="prod")
    return client


def service_of(client: Any, name: str) -> str:
    namespace = client.list_namespaces()["Namespaces"][0]["Id"]
    made: str = client.create_service(Name=name, NamespaceId=namespace)["Service"]["Id"]
    return made


def test_instances_come_and_go(cloud_map: Any) -> None:
    async def test() -> None:
        service = service_of(cloud_map, "shop")

        def register(name: str, host: str, **more: str) -> None:
            attributes = {"AWS_INSTANCE_IPV4": host, "AWS_INSTANCE_PORT": "8080", **more}
            cloud_map.register_instance(ServiceId=service, InstanceId=name, Attributes=attributes)

        register("a", "10.0.0.1", AVAILABILITY_ZONE="eu-central-1a")
        source = parse_source("cloudmap://prod/shop")
        assert source is not None
        async with hearing(CloudMapFinder(source, lambda: 0.5, wait=soon)) as heard:
            await heard.until(lambda: bool(heard.found or heard.failed))
            assert heard.failed == []
            assert heard.found[0] == (Endpoint("http://10.0.0.1:8080", zone="eu-central-1a"),)
            await asyncio.to_thread(register, "b", "10.0.0.2")
            await heard.until(lambda: len(heard.urls()) == 2)
            for name in "ab":
                cloud_map.deregister_instance(ServiceId=service, InstanceId=name)
            await heard.until(lambda: "the answer is empty" in heard.failed)
            assert all(heard.found)

    run(test)


def test_a_service_that_is_not_there_is_a_failure(cloud_map: Any) -> None:
    async def test() -> None:
        assert cloud_map
        source = parse_source("cloudmap://prod/nobody")
        assert source is not None
        async with hearing(CloudMapFinder(source, lambda: 0.5, wait=soon)) as heard:
            await heard.until(lambda: bool(heard.found or heard.failed))
            assert "ServiceNotFound" in heard.failed[0]

    run(test)


def test_the_port_of_the_source_and_addresses_of_either_family() -> None:
    instances = [
        {"InstanceId": "a", "Attributes": {"AWS_INSTANCE_IPV4": "10.0.0.1"}},
        {"InstanceId": "b", "Attributes": {"AWS_INSTANCE_IPV6": "fd00::1"}},
    ]
    assert [each.url for each in endpoints_of_instances(instances, "9000")] == [
        "http://10.0.0.1:9000",
        "http://[fd00::1]:9000",
    ]
    with pytest.raises(ValueError, match="has no AWS_INSTANCE_PORT"):
        endpoints_of_instances(instances, "")
    with pytest.raises(ValueError, match="instance c has no AWS_INSTANCE_IPV4"):
        endpoints_of_instances([{"InstanceId": "c", "Attributes": {}}], "80")
