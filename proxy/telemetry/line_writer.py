"""Owns the thread that writes lines to a file or pipe. Knows nothing of what the lines say.

A full pipe or a stalled disk blocks this thread alone, never the event loop. A thread, because
standard output cannot be made non-blocking for ourselves alone: the flag belongs to the open pipe,
which is often standard error and other workers' output too. Pipes are written in pieces of at most
``PIPE_BUF`` bytes, which are atomic (pipe(7)), so the lines of several workers never interleave.
"""

import logging
import os
import queue
import select
import stat
import threading
from collections.abc import Iterator

LOG = logging.getLogger("splitway.access_log")

LINE_BYTES = select.PIPE_BUF
"""The longest line that a pipe takes whole."""
CHUNK_BYTES = 64 * 1024


class LineWriter:
    """Writes to a file, opened for appending, or to ``stdout_fd`` where the path is empty.

    Make it after a fork: threads are not inherited.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: str, stdout_fd: int) -> None:
        self._path = path
        self._fd = _open(path) if path else stdout_fd
        self._pieces_bytes = _pieces_bytes(self._fd)
        self._queue: queue.SimpleQueue[list[bytes] | bool] = queue.SimpleQueue()
        self._trouble = ""
        self._torn = False
        self.done_bytes = 0
        """Written or lost so far; only the thread changes it, and ``lost_lines``."""
        self.lost_lines = 0
        # A daemon: a pipe that is never read must not keep the process from leaving.
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def put(self, lines: list[bytes]) -> None:
        """Takes lines, each with its newline."""
        self._queue.put(lines)

    def reopen(self) -> None:
        """Opens the path anew once the lines before are written."""
        self._queue.put(True)

    def stop(self, timeout_s: float) -> bool:
        """Writes what is left and ends the thread; false if it hangs and was left behind."""
        self._queue.put(False)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            LOG.warning("access log: the reader hangs; the last lines are lost")
            return False
        return True

    def _run(self) -> None:
        while (item := self._queue.get()) is not False:
            if item is True:
                self._reopen()
                continue
            for piece in pieces(item, self._pieces_bytes):
                self._write(piece)
                self.done_bytes += len(piece)
        if self._path:
            os.close(self._fd)

    def _reopen(self) -> None:
        try:
            fd = _open(self._path)
        except OSError as error:
            LOG.warning(
                "access log %s: cannot be reopened, the old file stays in use: %s",
                self._path,
                error.strerror,
            )
            return
        os.close(self._fd)
        self._fd = fd
        self._pieces_bytes = _pieces_bytes(fd)

    def _write(self, piece: bytes) -> None:
        # After a failure in mid-line, the next line still begins on a line of its own.
        todo = b"\n" + piece if self._torn else piece
        done = 0
        try:
            while done < len(todo):
                done += self._write_some(todo[done:])
        except OSError as error:
            # A line of which a part is out counts as lost too: it is not whole.
            self.lost_lines += min(piece.count(b"\n"), todo[done:].count(b"\n"))
            self._torn = not todo[:done].endswith(b"\n") if done else self._torn
            self._tell(f"{error.strerror}; lines are dropped until it works again")
        else:
            self._torn = False
            self._tell("")

    def _write_some(self, rest: bytes) -> int:
        try:
            return os.write(self._fd, rest)
        except BlockingIOError:
            # Someone else made the pipe non-blocking: wait here, in the thread.
            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            poll.poll()
            return 0

    def _tell(self, trouble: str) -> None:
        """Warns on a change only: one warning, not one a line."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        LOG.warning("access log %s: %s", self._path or "-", trouble or "works again")


def _open(path: str) -> int:
    # Group-readable for log shippers; the umask may take that away. O_NONBLOCK is for the open
    # alone: a FIFO without a reader then fails at once instead of hanging the start.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    fd = os.open(path, flags | os.O_NONBLOCK, 0o640)
    os.set_blocking(fd, True)
    return fd


def _pieces_bytes(fd: int) -> int:
    """How much one write may hold: any amount is appended whole to a file, PIPE_BUF to a pipe."""
    return CHUNK_BYTES if stat.S_ISREG(os.fstat(fd).st_mode) else LINE_BYTES


def pieces(lines: list[bytes], limit_bytes: int) -> Iterator[bytes]:
    """The lines joined to pieces of at most ``limit_bytes``; no line is divided."""
    start, size = 0, 0
    for position, line in enumerate(lines):
        if size and size + len(line) > limit_bytes:
            yield b"".join(lines[start:position])
            start, size = position, 0
        size += len(line)
    if size:
        yield b"".join(lines[start:])
