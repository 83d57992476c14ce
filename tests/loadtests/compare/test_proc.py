"""What the kernel says, of real processes and of folders that look like /proc."""

import os
import subprocess
import sys
from pathlib import Path

from loadtests.compare.proc import cpu_us, family, pss_bytes, rss_bytes

TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


def add(
    proc: Path, pid: int, *children: int, ticks: tuple[int, int] = (0, 0), kib: int = 0
) -> None:
    task = proc / str(pid) / "task" / str(pid)
    task.mkdir(parents=True)
    (task / "children").write_text("".join(f"{child} " for child in children))
    user, system = ticks
    fields = f"S 1 1 1 0 -1 0 0 0 0 0 {user} {system} 900 900 20 0 1 0 7 99 {kib}"
    (proc / str(pid) / "stat").write_text(f"{pid} (a (nasty) name) {fields}\n")
    (proc / str(pid) / "smaps_rollup").write_text(
        f"0-1 ---p 0 [rollup]\nRss: 9 kB\nPss: {kib} kB\n"
    )


def test_descendants_are_added_up(tmp_path: Path) -> None:
    add(tmp_path, 10, 11, 12, ticks=(1, 2), kib=100)
    add(tmp_path, 11, 13, ticks=(10, 20), kib=10)
    add(tmp_path, 13, ticks=(100, 200), kib=1)
    assert sorted(family(10, tmp_path)) == [10, 11, 12, 13], "12 is gone already"
    assert cpu_us(10, tmp_path) == 333 * TICK_US
    assert pss_bytes(10, tmp_path) == 111 * 1024
    assert rss_bytes(10, tmp_path) == 111 * os.sysconf("SC_PAGE_SIZE")


def test_a_process_that_is_gone_has_nothing(tmp_path: Path) -> None:
    assert (cpu_us(1, tmp_path), pss_bytes(1, tmp_path), rss_bytes(1, tmp_path)) == (0, 0, 0)


def test_a_real_child_counts() -> None:
    used = "import time\nwhile time.process_time() < 0.1: pass\nprint('so', flush=True)\ninput()"
    before = cpu_us(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", used], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"so\n"
        assert child.pid in family(os.getpid())
        assert cpu_us(child.pid) >= 100_000 - 2 * TICK_US
        assert cpu_us(os.getpid()) - before >= 100_000 - 2 * TICK_US
        assert rss_bytes(child.pid) >= pss_bytes(child.pid) > 1_000_000
        child.communicate(b"\n")
