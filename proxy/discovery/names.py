"""Owns finding endpoints by DNS: addresses of a name, or the targets of SRV records.

An answer is asked for again when its TTL is over. No such name, no answer in time, an error or an
empty answer are failures: what was found last stays, as a name that a server forgets for a moment
is far more common than a service that is gone. Sources: RFC 1035, RFC 2782.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver

from proxy.core.backoff import Backoff
from proxy.discovery.finder import Failed, Found, Wait
from proxy.model.address import Address
from proxy.model.config import MAX_ENDPOINT_WEIGHT, Endpoint
from proxy.model.config import Discovery as Settings
from proxy.model.source import Source
from proxy.model.text_forms import parse_server

MIN_TTL_S: Final = 1.0
"""Some servers say 0, for answers that nobody is to keep."""
RETRY_CAP_S: Final = 10.0


class _EmptyAnswer(dns.exception.DNSException):
    """There is such a name, but nothing of the kind that was asked for."""


class DnsFinder:
    """A name's addresses (``dns``), or what its SRV records name (``dns+srv``).

    Args:
        source: of one of these kinds.
        draw: a random number from 0 to below 1, for pauses.
    """

    def __init__(
        self,
        source: Source,
        settings: Settings,
        draw: Callable[[], float],
        *,
        wait: Wait = asyncio.sleep,
    ) -> None:
        self._source = source
        self._settings = settings
        self._draw = draw
        self._wait = wait
        self._backoff = Backoff(draw, base_s=MIN_TTL_S, cap_s=RETRY_CAP_S)

    async def run(self, found: Found, failed: Failed) -> None:
        """See ``Finder``."""
        while True:
            try:
                endpoints, ttl_s = await self._look()
            except (dns.exception.DNSException, OSError) as error:
                failed(_said(error))
                pause_s = MIN_TTL_S + self._backoff.next_s()
            else:
                found(endpoints)
                self._backoff.reset()
                pause_s = min(max(ttl_s, MIN_TTL_S), self._settings.max_ttl_s)
                pause_s *= 1 + self._draw() / 10  # proxies that began together drift apart
            await self._wait(pause_s)

    async def _look(self) -> tuple[tuple[Endpoint, ...], float]:
        """The endpoints, at least one, and how long they are good for."""
        resolver = self._resolver()
        if self._source.kind == "dns":
            hosts, ttl_s = await self._addresses(resolver, self._source.name)
            return tuple(_endpoint(host, self._source.port) for host in hosts), ttl_s
        answer = await self._ask(resolver, self._source.name, "SRV")
        if answer.rrset is None:
            raise _EmptyAnswer
        first = min(record.priority for record in answer.rrset)
        records = [record for record in answer.rrset if record.priority == first]
        weights = _weights([record.weight for record in records])
        asked = [self._addresses(resolver, str(record.target)) for record in records]
        endpoints: list[Endpoint] = []
        trouble: BaseException | None = None
        ttl_s = float(answer.chaining_result.minimum_ttl)
        for record, weight, told in zip(
            records, weights, await asyncio.gather(*asked, return_exceptions=True), strict=True
        ):
            if isinstance(told, BaseException):
                trouble = told  # the others serve meanwhile
                continue
            hosts, own_s = told
            ttl_s = min(ttl_s, own_s)
            endpoints += [_endpoint(host, str(record.port), weight) for host in hosts]
        if trouble is not None and not endpoints:
            raise trouble
        return tuple(endpoints), ttl_s

    async def _addresses(
        self, resolver: dns.asyncresolver.Resolver, name: str
    ) -> tuple[list[str], float]:
        """IPv4 addresses; IPv6 addresses where there are none, lest one machine counts twice."""
        answer = await self._ask(resolver, name, "A")
        if answer.rrset is None:
            answer = await self._ask(resolver, name, "AAAA")
        if answer.rrset is None:
            raise _EmptyAnswer
        return [record.address for record in answer.rrset], float(
            answer.chaining_result.minimum_ttl
        )

    async def _ask(
        self, resolver: dns.asyncresolver.Resolver, name: str, kind: str
    ) -> dns.resolver.Answer:
        return await resolver.resolve(
            name,
            kind,
            raise_on_no_answer=False,
            lifetime=self._settings.timeout_s,
            search=True,
        )

    def _resolver(self) -> dns.asyncresolver.Resolver:
        """Made anew each time: who renews a lease writes /etc/resolv.conf anew."""
        servers = self._settings.dns_servers
        resolver = dns.asyncresolver.Resolver(configure=not servers)
        if servers:
            resolver.nameservers = [
                dns.nameserver.Do53Nameserver(address.host, address.port)
                for address in map(parse_server, servers)
            ]
        return resolver


def _weights(given: Sequence[int]) -> list[int]:
    """Of endpoints, for SRV records': in proportion, and at least 1, as 0 means "hardly ever"."""
    scale = min(1.0, MAX_ENDPOINT_WEIGHT / max(1, *given))
    return [max(1, round(weight * scale)) for weight in given]


def _endpoint(host: str, port: str, weight: int = 1) -> Endpoint:
    return Endpoint(f"http://{Address(host, int(port)).authority}", weight)


def _said(error: Exception) -> str:
    if isinstance(error, dns.resolver.NXDOMAIN):
        return "there is no such name"
    if isinstance(error, _EmptyAnswer):
        return "the answer is empty"
    if isinstance(error, dns.exception.Timeout):
        return "no answer in time"
    return str(error) or type(error).__name__
