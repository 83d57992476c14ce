"""Owns what of a request goes into the access log: the data plane's events as entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.core.outcome import Outcome
from proxy.telemetry.access_log import AccessLog, Entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.local_reply import LocalReply
    from proxy.http1.errors import BadRequest
    from proxy.http1.request import RequestHead
    from proxy.net.exchange import Exchange


class AccessLogger:
    """Writes every request that is over (``proxy.net.runtime.RequestLog``).

    Args:
        now: seconds since the epoch.
    """

    def __init__(self, log: AccessLog, now: Callable[[], float]) -> None:
        self._log = log
        self._now = now

    def over(self, exchange: Exchange, head: RequestHead, client: str, revision: int) -> None:
        """A request that was given to a version."""
        decision = exchange.decision
        target = decision.target
        entry = Entry(
            id=exchange.ident.decode("latin-1"),
            client=client,
            method=head.method,
            host=head.authority.decode("latin-1"),
            path=_path(head),
            protocol=f"HTTP/1.{head.minor}",
            status=exchange.status,
            duration_s=exchange.seconds,
            request_bytes=exchange.request_bytes,
            response_bytes=exchange.response_bytes,
            service=target.service,
            version=target.version,
            source=decision.source,
            slot=decision.slot,
            revision=revision,
            endpoint=exchange.endpoint,
            attempts=exchange.attempts,
            reason=str(decision.reason),
            error=_error(exchange.outcome),
        )
        self._log.write(entry, self._now())

    def unserved(
        self, head: RequestHead, answer: LocalReply | None, client: str, ident: bytes, revision: int
    ) -> None:
        """A request that its route answered by itself; 404 where no route matched."""
        entry = Entry(
            id=ident.decode("latin-1"),
            client=client,
            method=head.method,
            host=head.authority.decode("latin-1"),
            path=_path(head),
            protocol=f"HTTP/1.{head.minor}",
            status=404 if answer is None else answer.status,
            duration_s=0.0,
            response_bytes=0 if answer is None or head.method == "HEAD" else len(answer.body),
            revision=revision,
            reason="" if answer is None else answer.reason,
            error="no route" if answer is None else "",
        )
        self._log.write(entry, self._now())

    def refused(self, refusal: BadRequest, client: str, ident: bytes, revision: int) -> None:
        """Bytes that are no request; nothing of them is written."""
        entry = Entry(
            id=ident.decode("latin-1"),
            client=client,
            method="",
            host="",
            path="",
            protocol="",
            status=refusal.status,
            duration_s=0.0,
            revision=revision,
            error=refusal.detail,
        )
        self._log.write(entry, self._now())


def _path(head: RequestHead) -> str:
    return head.target.partition(b"?")[0].decode("latin-1")


def _error(outcome: str | None) -> str:
    return "" if outcome in (None, Outcome.SUCCESS, Outcome.SERVER_ERROR) else str(outcome)
