"""Owns finding endpoints in AWS Cloud Map: asks DiscoverInstances again and again.

Needs the extra ``aws`` (botocore), which finds credentials as every AWS tool does: the task's role
on ECS, environment, files. It is imported only where a source asks for it, and runs in threads, as
it waits. An empty answer is a failure: see ``names``. Source: AWS Cloud Map API, DiscoverInstances.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Final

from proxy.core.backoff import Backoff
from proxy.discovery.finder import Failed, Found, Wait
from proxy.model.address import Address, parse_authority
from proxy.model.config import Endpoint
from proxy.model.source import Source

INTERVAL_S: Final = 5.0
"""As long as its own health checks take to tell anything new, at the least."""
RETRY_CAP_S: Final = 30.0
TIMEOUT_S: Final = 5.0
ENDPOINT_VARIABLES: Final = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SERVICEDISCOVERY")
MOST: Final = 1_000
"""The most that one answer may name."""

LOG = logging.getLogger("splitway.discovery")

Ask = Callable[[str, str], list[dict[str, Any]]]
"""(namespace, service) → the instances; waits. Raises whatever went wrong."""


def botocore_ask() -> Ask:
    """Asks Cloud Map itself.

    Raises:
        RuntimeError: the extra is not installed.
    """
    try:  # an extra, and 30 MB of memory
        import botocore.config
        import botocore.session
    except ImportError:
        raise RuntimeError("Cloud Map needs botocore; install splitway[aws]") from None
    config = botocore.config.Config(
        connect_timeout=TIMEOUT_S,
        read_timeout=TIMEOUT_S,
        retries={"max_attempts": 2},
        # The API puts "data-" before its host's name; an address that was given means itself.
        inject_host_prefix=not any(name in os.environ for name in ENDPOINT_VARIABLES),
    )
    client = botocore.session.get_session().create_client("servicediscovery", config=config)

    def ask(namespace: str, service: str) -> list[dict[str, Any]]:
        answer = client.discover_instances(
            NamespaceName=namespace,
            ServiceName=service,
            MaxResults=MOST,
            HealthStatus="HEALTHY_OR_ELSE_ALL",
        )
        instances: list[dict[str, Any]] = answer["Instances"]
        if len(instances) >= MOST:  # the API has no second page
            LOG.warning("Cloud Map names %d instances of %s and no more", MOST, service)
        return instances

    return ask


class CloudMapFinder:
    """A service's instances.

    Args:
        source: of kind ``cloudmap``.
        draw: a random number from 0 to below 1, for pauses.
        make_ask: see ``botocore_ask``; called in a thread.
    """

    def __init__(
        self,
        source: Source,
        draw: Callable[[], float],
        *,
        make_ask: Callable[[], Ask] = botocore_ask,
        wait: Wait = asyncio.sleep,
    ) -> None:
        self._source = source
        self._draw = draw
        self._make_ask = make_ask
        self._wait = wait
        self._backoff = Backoff(draw, base_s=INTERVAL_S, cap_s=RETRY_CAP_S)

    async def run(self, found: Found, failed: Failed) -> None:
        """See ``Finder``."""
        # A thread of its own: one that waits for an answer must not hold up whoever else needs one.
        threads = ThreadPoolExecutor(1, thread_name_prefix="cloudmap")
        try:
            await self._keep_asking(threads, found, failed)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    async def _keep_asking(self, threads: Executor, found: Found, failed: Failed) -> None:
        ask: Ask | None = None
        source = self._source
        loop = asyncio.get_running_loop()
        while True:
            try:
                if ask is None:
                    ask = await loop.run_in_executor(threads, self._make_ask)
                instances = await loop.run_in_executor(threads, ask, source.namespace, source.name)
                endpoints = endpoints_of_instances(instances, source.port)
            except Exception as error:  # noqa: BLE001 botocore's have no common base but this
                failed(str(error) or type(error).__name__)
                await self._wait(INTERVAL_S + self._backoff.next_s())
                continue
            if endpoints:
                self._backoff.reset()
                found(endpoints)
            else:
                failed("the answer is empty")
            await self._wait(INTERVAL_S * (1 + self._draw() / 10))


def endpoints_of_instances(instances: list[dict[str, Any]], port: str) -> tuple[Endpoint, ...]:
    """The endpoints that instances are, by their attributes.

    Args:
        port: in place of ``AWS_INSTANCE_PORT``.

    Raises:
        ValueError: no instance has an address and a port.
    """
    found = []
    trouble = ""
    for instance in instances:
        attributes: Mapping[str, str] = instance.get("Attributes", {})
        host = attributes.get("AWS_INSTANCE_IPV4") or attributes.get("AWS_INSTANCE_IPV6")
        number = port or attributes.get("AWS_INSTANCE_PORT")
        if not host or not number:
            name = instance.get("InstanceId", "?")
            missing = "AWS_INSTANCE_IPV4" if not host else "AWS_INSTANCE_PORT"
            trouble = f"instance {name} has no {missing}"
            continue
        authority = f"[{host}]:{number}" if ":" in host else f"{host}:{number}"
        address: Address = parse_authority(authority, default_port=None, lowest_port=1)
        zone = attributes.get("AVAILABILITY_ZONE", "")[:64]
        found.append(Endpoint(f"http://{address.authority}", zone=zone))
    if trouble and not found:
        raise ValueError(trouble)
    return tuple(found)
