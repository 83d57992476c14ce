"""Owns what a proxy knows of where it runs, for its ``Hello``. Never fails a start: what cannot be
found is left out.

Sources: Kubernetes' downward API, by the environment variables that pods usually give it
(``POD_NAME``, ``POD_NAMESPACE``, ``NODE_NAME``, and ``SERVICE_NAME`` and ``SERVICE_VERSION`` from
the labels ``app.kubernetes.io/name`` and ``/version``); the ECS task metadata endpoint, version 4
(``ECS_CONTAINER_METADATA_URI_V4``), asked once.
"""

import asyncio
import logging
from collections.abc import Mapping

import aiohttp
import msgspec

from proxy.model.wire import MAX_PLACE_CHARS, MAX_ZONE_CHARS

LOG = logging.getLogger("splitway.sync.identity")

ECS_URI = "ECS_CONTAINER_METADATA_URI_V4"
ECS_S = 1.0
"""The endpoint is on the same host and answers within milliseconds."""
MAX_ANSWER_BYTES = 1 << 20
_TOLD = {
    "service": "SERVICE_NAME",
    "version": "SERVICE_VERSION",
    "pod": "POD_NAME",
    "namespace": "POD_NAMESPACE",
    "node": "NODE_NAME",
}


class Identity(msgspec.Struct, frozen=True):
    """Where a proxy runs."""

    zone: str = ""
    place: dict[str, str] = {}


class _Task(msgspec.Struct, frozen=True, rename="pascal"):
    """As much of the answer as is of use."""

    task_arn: str = msgspec.field(default="", name="TaskARN")
    family: str = ""
    revision: str = ""
    service_name: str = ""
    availability_zone: str = ""


async def identity_in(env: Mapping[str, str]) -> Identity:
    """What the environment says, and the ECS agent where it is there."""
    task = await _ecs_task(env[ECS_URI]) if env.get(ECS_URI) else _Task()
    place = {"service": task.service_name, "version": task.revision}
    place |= {name: env[variable] for name, variable in _TOLD.items() if env.get(variable)}
    place |= {"ecs_task": task.task_arn, "ecs_family": task.family}
    return Identity(
        zone=task.availability_zone[:MAX_ZONE_CHARS],
        place={name: value[:MAX_PLACE_CHARS] for name, value in place.items() if value},
    )


async def _ecs_task(uri: str) -> _Task:
    try:
        async with (
            asyncio.timeout(ECS_S),
            aiohttp.ClientSession() as client,
            client.get(f"{uri}/task", allow_redirects=False) as response,
        ):
            response.raise_for_status()
            answer = await _read(response.content)
        return msgspec.json.decode(answer, type=_Task)
    except (aiohttp.ClientError, OSError, ValueError, msgspec.DecodeError) as error:
        why = str(error) or type(error).__name__
        LOG.info("the ECS metadata endpoint did not tell where we run: %s", why)
        return _Task()


async def _read(content: aiohttp.StreamReader) -> bytes:
    """Raises: ValueError: it is longer than any task's."""
    answer = b""
    while more := await content.readany():
        answer += more
        if len(answer) > MAX_ANSWER_BYTES:
            raise ValueError("its answer does not end")
    return answer
