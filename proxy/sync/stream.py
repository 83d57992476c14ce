"""Owns the control stream: one WebSocket to the control plane. Never decides what a snapshot means.

Theory of operation: ``run`` repeats sessions for ever. A session reads the token, connects, sends
``Hello``, then takes each ``Snapshot`` in order, has it applied and answers ``Ack`` or ``Nack``.
Once it is asked to, it also sends what waits in the backlog of reports, and takes the answers.
What cannot be a message ends the session. Between sessions it waits (``backoff``). Whatever
happens here, the proxy runs on with what it has: nothing in this module takes a snapshot away.

Sources: ``proxy.model.wire``; close codes of RFC 6455 §7.4.1; the token of RFC 6750 §2.1.
"""

import asyncio
import contextlib
import logging
import random
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import msgspec
from aiohttp import ClientWebSocketResponse, WSCloseCode, WSMessage, WSMsgType

from proxy.core.backoff import Backoff
from proxy.model.errors import Problem
from proxy.model.wire import (
    Ack,
    FromControl,
    Hello,
    Nack,
    ReportAck,
    Reporting,
    Snapshot,
    ToControl,
)
from proxy.sync import reporting
from proxy.sync.frames import StreamError, ending, nack, refuse
from proxy.sync.report import RESEND_S, Backlog
from proxy.sync.trust import NO_FILES, TlsFiles, Trust

LOG = logging.getLogger("splitway.sync.stream")

HEARTBEAT_S = 10.0
"""A ping this often; without an answer in half of it the peer counts as hung."""
CONNECT_S = 15.0
"""Until the stream is open. After a restart thousands wait for one control plane: who gives up and
comes again makes the queue longer for all, and with too short a wait nobody gets through."""
CLOSE_S = 1.0
GOOD_SESSION_S = 5.0
"""A session that brought a message, or lasted this long, starts the back-off anew."""
MAX_FRAME_BYTES = 64 * 1024 * 1024
MAX_TOKEN_BYTES = 8192

_TOKEN = re.compile(rb"[A-Za-z0-9\-._~+/]+=*")

Apply = Callable[[Snapshot], Awaitable[tuple[Problem, ...]]]


class ControlStream:
    """Follows one control plane.

    Args:
        url: of the control plane; the stream is at ``/v1/stream`` under it.
        token_file: holds the bearer token, read anew for each connection; None sends none.
        hello: how the proxy presents itself now. Its store and revision are what is in force.
        apply: puts a snapshot into force; returns the problems for which it was refused.
        files: for TLS; read anew for each connection too.
        reports: what there is to report, if anything is to be.
        draw: randomness of the back-off.
    """

    def __init__(
        self,
        url: str,
        token_file: str | None,
        hello: Callable[[], Hello],
        apply: Apply,
        *,
        files: TlsFiles = NO_FILES,
        reports: reporting.Reporting | None = None,
        draw: Callable[[], float] = random.random,
        backoff: Backoff | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        max_frame_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        self._url = url.rstrip("/") + "/v1/stream"
        self._token_file = token_file
        self._hello = hello
        self._apply = apply
        self._reports = reports
        self._sending: asyncio.Task[None] | None = None
        self._backoff = backoff or Backoff(draw)
        self._heartbeat_s = heartbeat_s
        self._max_frame_bytes = max_frame_bytes
        self._decoder = msgspec.json.Decoder(FromControl)
        self._connected = False
        self._trouble = ""
        self._trust = Trust(url, files)
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether the stream is up and has said ``Hello``."""
        return self._connected

    def start(self) -> None:
        """Begins to follow; ``stop`` ends it."""
        if self._task is None:
            if self._token_file is not None and self._trust.is_open:
                LOG.warning(
                    "control plane %s: the token is sent in the clear; use https", self._url
                )
            self._task = asyncio.create_task(self.run(), name="control stream")
            self._task.add_done_callback(_tell_failure)

    async def stop(self) -> None:
        """Closes the stream and waits until it is closed."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def run(self) -> None:
        """Follows the control plane until cancelled."""
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
            while True:
                await self._try(client)
                await asyncio.sleep(self._backoff.next_s())

    async def _try(self, client: aiohttp.ClientSession) -> None:
        """One session; returns when it is over, whatever ended it."""
        try:
            await self._session(client)
        except StreamError as error:
            self._report(str(error), error.level)
        except aiohttp.WSServerHandshakeError as error:
            self._report(*self._refusal(error.status))
        except TimeoutError:
            self._report(f"no answer within {CONNECT_S:g} s")
        except aiohttp.ClientError as error:
            self._report(self._trust.fault(error) or str(error) or type(error).__name__)
        except OSError as error:
            self._report(str(error) or type(error).__name__)
        except Exception:
            # A mistake of ours must not end the stream for good.
            LOG.exception("control stream: unforeseen error")

    async def _session(self, client: aiohttp.ClientSession) -> None:
        socket = await self._connect(client)
        good = asyncio.get_running_loop().call_later(GOOD_SESSION_S, self._is_good)
        code: int = WSCloseCode.GOING_AWAY
        try:
            await _send(socket, self._hello())
            self._connected = True
            if not self._trouble:
                LOG.info("control plane %s: connected", self._url)
            while True:
                await self._take(socket, await socket.receive())
        except StreamError as error:
            code = error.code
            raise
        finally:
            self._connected = False
            good.cancel()
            await self._stop_sending()
            await _close(socket, code)

    async def _connect(self, client: aiohttp.ClientSession) -> ClientWebSocketResponse:
        headers = {}
        if self._token_file is not None:
            token = await asyncio.to_thread(read_token, Path(self._token_file))
            headers["Authorization"] = f"Bearer {token}"
        context = await asyncio.to_thread(self._trust.context)
        async with asyncio.timeout(CONNECT_S):
            return await client.ws_connect(
                self._url,
                headers=headers,
                heartbeat=self._heartbeat_s,
                max_msg_size=self._max_frame_bytes,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
                ssl=context,
            )

    async def _take(self, socket: ClientWebSocketResponse, frame: WSMessage) -> None:
        if frame.type is not WSMsgType.TEXT:
            raise ending(frame, socket.close_code)
        try:
            message = self._decoder.decode(frame.data)
        except (msgspec.DecodeError, RecursionError) as error:
            await _send(socket, refuse(frame.data, error))
            self._is_good()
            return
        self._is_good()
        if isinstance(message, Snapshot):
            answer = await self._answer(message)
            if answer is not None:
                await _send(socket, answer)
        elif self._reports is not None:
            self._report_to(socket, self._reports, message)

    def _report_to(
        self,
        socket: ClientWebSocketResponse,
        reports: reporting.Reporting,
        message: Reporting | ReportAck,
    ) -> None:
        """The control plane asks for reports, or has one."""
        if isinstance(message, ReportAck):
            reports.backlog.answered(message)
            return
        reports.asked(message.every_s, splits=message.splits)
        if self._sending is None:
            reports.backlog.reconnected()
            self._sending = asyncio.create_task(
                _send_reports(socket, reports.backlog), name="reports"
            )

    async def _stop_sending(self) -> None:
        task, self._sending = self._sending, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _answer(self, snapshot: Snapshot) -> Ack | Nack | None:
        now = self._hello()
        revision = snapshot.revision
        if snapshot.store and snapshot.store == now.store:
            if revision < now.revision:
                LOG.warning(
                    "control plane %s: revision %d ignored, %d is in force and newer",
                    self._url,
                    revision,
                    now.revision,
                )
                return None
            if revision == now.revision:
                return Ack(revision)
        elif now.store:
            LOG.warning(
                "control plane %s: its store is %r now, not %r: revisions count anew from %d",
                self._url,
                snapshot.store,
                now.store,
                revision,
            )
        problems = await self._applied(snapshot)
        return nack(revision, problems) if problems else Ack(revision)

    async def _applied(self, snapshot: Snapshot) -> tuple[Problem, ...]:
        try:
            return await self._apply(snapshot)
        except Exception:
            LOG.exception("revision %d: applying it failed", snapshot.revision)
            return (Problem(field="", message="internal error of the proxy, see its log"),)

    def _is_good(self) -> None:
        """The session works: the next failure starts from the shortest wait, and is told."""
        self._backoff.reset()
        if self._trouble:
            LOG.info("control plane %s: connected again", self._url)
            self._trouble = ""

    def _report(self, trouble: str, level: int = logging.WARNING) -> None:
        """Once for each change of state, not once a try."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        LOG.log(level, "control plane %s: %s; traffic flows on as configured", self._url, trouble)

    def _refusal(self, status: int) -> tuple[str, int]:
        if status not in (401, 403):
            return f"answered {status} instead of opening the stream", logging.WARNING
        token = f"the token in {self._token_file}" if self._token_file else "us without a token"
        hint = "" if self._token_file else " (set control.token_file)"
        return f"refuses {token} with {status}{hint}", logging.ERROR


def read_token(path: Path) -> str:
    """The bearer token in a file.

    Raises:
        StreamError: there is none that could be sent; the text never holds what was read.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_TOKEN_BYTES + 1).strip()
    except OSError as error:
        raise StreamError(
            f"control.token_file {path} cannot be read: {error.strerror}", level=logging.ERROR
        ) from None
    if len(raw) > MAX_TOKEN_BYTES or not _TOKEN.fullmatch(raw):
        what = "is empty" if not raw else "does not hold one bearer token (RFC 6750) and no more"
        raise StreamError(f"control.token_file {path} {what}", level=logging.ERROR)
    return raw.decode("ascii")


async def _send(socket: ClientWebSocketResponse, message: ToControl) -> None:
    await socket.send_str(msgspec.json.encode(message).decode())


async def _send_reports(socket: ClientWebSocketResponse, backlog: Backlog) -> None:
    """Whatever there is, until it is cancelled or the connection is lost; who listens to that sees
    it too."""
    try:
        while True:
            backlog.news.clear()
            while (report := backlog.next()) is not None:
                await _send(socket, report)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESEND_S):
                    await backlog.news.wait()
    except (aiohttp.ClientError, OSError) as error:
        LOG.debug("reports: %s", error)
    except Exception:
        LOG.exception("reports are not sent on this connection")


async def _close(socket: ClientWebSocketResponse, code: int) -> None:
    """Says goodbye; does not wait for a peer that has stopped reading."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await socket.close(code=code)
    except TimeoutError:
        LOG.debug("control stream: the peer took no goodbye")


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        LOG.error("control stream: failed for good", exc_info=error)
