"""Big bodies both ways, never held in memory, each checked by SHA-256 at the other end.

Each user in turn uploads (Content-Length, then chunked) and downloads (Content-Length, then
chunked). Locust's requests-based client is used here: it streams in both directions.

    python -m locust -f loadtests/locustfiles/big_bodies.py --headless \
        --host http://127.0.0.1:8080 -u 4 -r 4 -t 30s --csv run/big \
        && python -m loadtests.report run/journal.jsonl

Environment variables:
    LOAD_BODY_BYTES  size of each body (16777216 = 16 MiB)
    LOAD_SERVICE, LOAD_JOURNAL   as in steady.py
"""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from locust import HttpUser, task

from loadtests.journal import Request, Start
from loadtests.locustfiles import clients, settings
from loadtests.recorder import now_us
from loadtests.sample.content import BLOCK_BYTES, BodyReader, blocks, sha256_of

BODY_BYTES = int(settings.number("LOAD_BODY_BYTES", 16 * 1024**2, least=0))


class BigBodyUser(HttpUser):
    """One user who moves big bodies."""

    def on_start(self) -> None:
        """Takes a number, and the four kinds of request in turn."""
        self.run_ = clients.running()
        self.user_id_ = f"big-{self.run_.take_lane()}"
        self.turns: Iterator[Callable[[dict[str, str]], tuple[Any, str]]] = itertools.cycle(
            [
                lambda headers: self.upload(BodyReader(BODY_BYTES), "upload", headers),
                lambda headers: self.upload(blocks(BODY_BYTES), "upload chunked", headers),
                lambda headers: self.download("", "download", headers),
                lambda headers: self.download("&chunked=1", "download chunked", headers),
            ]
        )

    def upload(self, body: Any, name: str, headers: dict[str, str]) -> tuple[Any, str]:
        """Sends the body; the service answers what it received."""
        with self.client.post(
            "/upload", data=body, headers=headers, name=name, catch_response=True
        ) as response:
            error = fault_of(response, headers)
            if not error and response.json()["bytes"] != BODY_BYTES:
                error = f"the service received {response.json()['bytes']} of {BODY_BYTES} bytes"
            if not error and response.json()["sha256"] != sha256_of(BODY_BYTES):
                error = "the service received other bytes: SHA-256 differs"
            if error:
                response.failure(error)
        return response, error

    def download(self, query: str, name: str, headers: dict[str, str]) -> tuple[Any, str]:
        """Receives the body and compares."""
        with self.client.get(
            f"/blob?bytes={BODY_BYTES}{query}",
            headers=headers,
            name=name,
            stream=True,
            catch_response=True,
        ) as response:
            error = fault_of(response, headers) or received_fault(response)
            if error:
                response.failure(error)
        return response, error

    @task
    def move(self) -> None:
        """The next body."""
        request_id = self.run_.request_id()
        headers = {
            "X-User-Id": self.user_id_,
            "X-Request-Id": request_id,
            "Accept-Encoding": "identity",
        }
        started_us = now_us()
        response, error = next(self.turns)(headers)
        self.run_.recorder.write(
            Request(
                user=self.user_id_,
                step=0,
                version=response.headers.get("X-Version", ""),
                status=response.status_code or 0,
                started_us=started_us,
                ended_us=now_us(),
                request_id=request_id,
                error=error,
            )
        )


def fault_of(response: Any, headers: dict[str, str]) -> str:
    """What is wrong with a response's status or head; empty when nothing is."""
    return clients.fault_of(response, headers["X-Request-Id"])


def received_fault(response: Any) -> str:
    """Reads a downloaded body to its end; what is wrong with it, empty when nothing is."""
    digest, received_bytes = hashlib.sha256(), 0
    try:
        for piece in response.iter_content(BLOCK_BYTES):
            digest.update(piece)
            received_bytes += len(piece)
    except OSError as error:  # every exception of requests is one
        return f"broken off after {received_bytes} bytes: {error}"
    if received_bytes != BODY_BYTES:
        return f"received {received_bytes} of {BODY_BYTES} bytes"
    if digest.hexdigest() != sha256_of(BODY_BYTES):
        return "received other bytes: SHA-256 differs"
    return ""


def begin(environment: Any, **_: Any) -> None:
    """Opens the journal."""
    sha256_of(BODY_BYTES)  # once, before the clock of any request runs
    start = Start(at_us=now_us(), service=clients.SERVICE, users=0, series="big")
    clients.begin(environment, start)


clients.hooks.test_start.add_listener(begin)
clients.hooks.test_stop.add_listener(clients.end)
