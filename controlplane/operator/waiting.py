"""Owns waiting until every connected proxy has confirmed a revision. Never changes anything.

It asks ``/v1/convergence`` now and then. A control plane that does not answer meanwhile is asked
again: it may be restarting, and its proxies come back to it.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from controlplane.operator.client import CallError, Client

FIRST_S, LONGEST_S = 0.05, 0.5
"""Between two questions: short for few proxies, who confirm at once; then twice as long each."""


class RefusedError(Exception):
    """At least one proxy refused; ``answer`` is how far the revision has come."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(f"revision {answer['revision']} was refused by {answer['refused']}")
        self.answer = answer


class NotConfirmedError(Exception):
    """Time is up; says who is behind."""


async def wait_for(
    client: Client,
    revision: int,
    timeout_s: float,
    tell: Callable[[dict[str, Any]], None],
    path: str = "/v1",
) -> None:
    """Waits until a revision, or a newer one, is in force in every connected proxy.

    Args:
        tell: gets each answer, the last one too.
        path: below which to ask for the convergence; a service's needs no more than its scope.

    Raises: RefusedError, NotConfirmedError.
    """
    deadline_s = time.monotonic() + timeout_s
    pause_s, trouble = FIRST_S, ""
    while True:
        try:
            answer = await client.read(f"{path}/convergence", {"revision": str(revision)})
        except CallError as error:
            trouble = str(error)
        else:
            tell(answer)
            if answer["refused"]:
                raise RefusedError(answer)
            if answer["done"]:
                return
            confirmed, connected = answer["confirmed"], answer["connected"]
            trouble = f"{confirmed} of {connected} connected proxies have confirmed"
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise NotConfirmedError(f"revision {revision} after {timeout_s:g} s: {trouble}")
        await asyncio.sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, LONGEST_S)
