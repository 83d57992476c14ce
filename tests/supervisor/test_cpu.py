"""CPU quotas as cgroups write them."""

import os
from pathlib import Path

import pytest

from proxy.supervisor.cpu import usable_cpus


def v2(root: Path, text: str) -> Path:
    (root / "cpu.max").write_text(text)
    return root


def v1(root: Path, quota: str, period: str) -> Path:
    (root / "cpu").mkdir()
    (root / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (root / "cpu" / "cpu.cfs_period_us").write_text(period)
    return root


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("25000 100000\n", 1),  # ECS tasks of 0.25 vCPU
        ("150000 100000\n", 2),
        ("9900000 100000\n", 8),
        ("garbage\n", 8),
    ],
)
def test_cgroup_v2(tmp_path: Path, text: str, cpus: int) -> None:
    assert usable_cpus(v2(tmp_path, text)) == cpus


@pytest.mark.parametrize(
    ("quota", "period", "cpus"),
    [("-1\n", "100000\n", 8), ("300000\n", "100000\n", 3), ("x", "100000", 8), ("100", "0", 8)],
)
def test_cgroup_v1(tmp_path: Path, quota: str, period: str, cpus: int) -> None:
    assert usable_cpus(v1(tmp_path, quota, period)) == cpus


def test_without_cgroups_it_is_the_affinity_mask(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path) == 8
