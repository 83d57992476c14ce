"""Owns taking reports in: what waits, writing it in batches, and answering what is durable.

Never answers before the batch's transaction is committed, and never counts twice: which numbers of
a proxy were counted is read and written in the transaction that adds the figures, on whichever
control plane that runs. What does not fit into memory is not answered, so that its proxy keeps it
and sends it again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple, Protocol

from controlplane.rollup import Cells, count, raised
from controlplane.screening import Known, Screened, Seen, refusal_of, requests_in, screen
from controlplane.store.base import Store, StoreError
from controlplane.store.uncut import uncut
from proxy.model.wire import Report, ReportAck

_log = logging.getLogger(__name__)

BATCH_S = 1.0
"""One transaction a second for the reports of all proxies."""
MAX_PENDING_ROWS = 50_000
"""About five seconds' of 5,000 proxies with 10 services of 2 versions."""
MAX_BATCH_ROWS = 10_000
"""In one transaction: other writers wait for it."""
_HIGHEST_REVISION = 2**31 - 1
"""That a store can number. It cannot even be asked for a higher one, which a report may name."""
_LAST_S = 5.0
"""For what waits when the control plane stops; proxies keep what was not answered."""

Reply = Callable[[ReportAck], None]


class ReportTally(Protocol):
    """Who counts what came of reports."""

    def reported(self, result: str, reports: int = 1, lost: int = 0) -> None:
        """So many had this result: ``counted``, ``duplicate``, ``refused`` or ``deferred``.

        Args:
            lost: the requests in them that will never be counted.
        """
        ...


class _Pending(NamedTuple):
    report: Report
    arrived: datetime
    reply: Reply


class _Batch(NamedTuple):
    """What a batch comes to."""

    cells: Cells
    seen: dict[str, Seen]
    counted: list[tuple[_Pending, Screened]]
    duplicates: list[_Pending]


class Intake:
    """Takes reports of every proxy that is connected here."""

    def __init__(self, store: Store, wall: Callable[[], datetime], tally: ReportTally) -> None:
        self._store = store
        self._wall = wall
        self._tally = tally
        self._known = Known()
        self._looked_at: set[int] = set()
        self._pending: list[_Pending] = []
        self._rows = 0
        self._writing = asyncio.Lock()

    @property
    def pending(self) -> int:
        """Reports that are not durable yet."""
        return len(self._pending)

    def offer(self, report: Report, reply: Reply) -> None:
        """A report came; it is answered once it is durable, or refused."""
        if why := refusal_of(report, self._store.id):
            self.refuse(report.number, why, requests_in(report.rows), reply)
            return
        rows = len(report.rows) + 1
        if self._rows + rows > MAX_PENDING_ROWS:
            self._tally.reported("deferred")
            return
        self._rows += rows
        self._pending.append(_Pending(report, self._wall(), reply))

    def refuse(self, number: int, why: str, lost: int, reply: Reply) -> None:
        """A report will never be counted."""
        self._tally.reported("refused", lost=lost)
        _log.debug("report %d refused: %s", number, why)
        reply(ReportAck(number, why, lost))

    async def run(self) -> None:
        """Writes for ever; when it is cancelled, what still waits first."""
        fails = False
        try:
            while True:
                await asyncio.sleep(BATCH_S)
                try:
                    await uncut(self.flush())
                except StoreError as error:
                    if not fails:
                        _log.warning("reports wait for the store: %s", error)
                    fails = True
                else:
                    fails = False
        finally:
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(_LAST_S):
                    await self.flush()

    async def flush(self) -> None:
        """Makes durable what waits, and answers it.

        Raises: StoreError: it still waits.
        """
        async with self._writing:
            while self._pending:
                batch = self._next_batch()
                try:
                    await self._write(batch)
                except StoreError:
                    raise
                except Exception:  # noqa: BLE001 - it is logged, and its report refused
                    _log.exception("a batch of reports cannot be counted; they are tried singly")
                    await self._write_singly(batch)
                del self._pending[: len(batch)]
                self._rows -= sum(len(each.report.rows) + 1 for each in batch)

    def _next_batch(self) -> list[_Pending]:
        rows = 0
        batch: list[_Pending] = []
        for each in self._pending:
            rows += len(each.report.rows) + 1
            if batch and rows > MAX_BATCH_ROWS:
                break
            batch.append(each)
        return batch

    async def _write_singly(self, batch: list[_Pending]) -> None:
        """One that cannot be counted must not keep the others from it."""
        for pending in batch:
            report, reply = pending.report, pending.reply
            try:
                await self._write([pending])
            except StoreError:
                raise
            except Exception:  # noqa: BLE001 - it is logged, and its report refused
                _log.exception("report %d of %s cannot be counted", report.number, report.boot)
                why = "internal error of the control plane, see its log"
                self.refuse(report.number, why, requests_in(report.rows), reply)

    async def _write(self, batch: list[_Pending]) -> None:
        await self._learn_names(each.report for each in batch)
        boots = sorted({each.report.boot for each in batch})
        async with self._store.writing() as unit:
            before = await unit.seen_reports(boots)
            # Thousands of histograms are added here; streams and requests must not wait for it.
            found = await asyncio.to_thread(_fold, batch, before, self._known)
            await unit.add_figures(found.cells)
            await unit.keep_seen_reports(found.seen, before, self._wall())
        self._answer(found)

    def _answer(self, found: _Batch) -> None:
        refused = [screened for _, screened in found.counted if screened.refused]
        if refused:
            _log.warning(
                "rows of %d reports are not counted, the first: %s",
                len(refused),
                refused[0].refused,
            )
            self._tally.reported("refused", 0, sum(screened.lost for screened in refused))
        self._tally.reported("counted", len(found.counted))
        self._tally.reported("duplicate", len(found.duplicates))
        for pending, screened in found.counted:
            pending.reply(ReportAck(pending.report.number, screened.refused, screened.lost))
        for pending in found.duplicates:
            pending.reply(ReportAck(pending.report.number))

    async def _learn_names(self, reports: Iterable[Report]) -> None:
        """Learn of the revisions that reports speak of, where a name is not known.

        The one before counts too: requests that it began may end under the next one.
        """
        for report in reports:
            if self._known.has_all(report.rows):
                continue
            for number in (report.revision, report.revision - 1):
                if number in self._looked_at or not 1 <= number <= _HIGHEST_REVISION:
                    continue
                async with self._store.reading() as unit:
                    revision = await unit.revision(number)
                if revision is not None:
                    self._looked_at.add(number)
                    self._known.learn(revision.traffic)


def _fold(batch: list[_Pending], before: dict[str, Seen], known: Known) -> _Batch:
    found = _Batch({}, {}, [], [])
    for pending in batch:
        report = pending.report
        boot = report.boot
        seen = (found.seen.get(boot) or before.get(boot) or Seen()).with_(report.number)
        if seen is None:
            found.duplicates.append(pending)
            continue
        found.seen[boot] = seen
        screened = screen(report, pending.arrived, known)
        length_s = 0.0 if report.goes_on else report.length_s
        count(found.cells, screened.rows, screened.start_s, length_s)
        found.counted.append((pending, screened))
    return found._replace(cells=raised(found.cells))
