"""`splitway reports` against a real control plane whose figures are known."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controlplane.operator.reports import gaps
from controlplane.rollup import Cells, count, raised
from controlplane.store.opening import open_database
from controlplane.store.sql import SqlStore
from proxy.model.wire import ReportRow, Sample
from tests.controlplane.operator.test_history import Cli
from tests.controlplane.support import DOCUMENT, control_thread, store_url

MINUTE = timedelta(minutes=1)
USERS = ["USERS", "NEW", "ERRING"]
ONE = Sample(0, bytes([0] * 7 + [5]))
BOTH = Sample(0, bytes([0] * 7 + [5] + [0] * 7 + [6]))


def kept(folder: Path, now: datetime) -> None:
    """Figures of the fifth, the fourth and the second minute before this one."""
    rows = (
        ReportRow("shop", "stable", "", 100, 1, {90: 100}, 0.95),
        ReportRow("shop", "canary", "", 10, 2, {90: 5, 200: 5}, 0.05, BOTH, ONE),
        ReportRow("shop", "canary", "", 10, 2, {90: 10}, endpoint="http://a:80"),
        ReportRow("shop", "canary", "country=de", 4, 1),
    )

    async def write() -> None:
        database = await open_database(store_url(folder))
        store = await SqlStore.on(database)
        cells: Cells = {}
        met = ReportRow("shop", "stable", users=ONE)
        count(cells, [met], (now - timedelta(days=2)).timestamp(), 10.0)
        for ago in (5, 4, 2):
            count(cells, rows, (now - ago * MINUTE).timestamp(), 10.0)
        async with store.writing() as unit:
            await unit.add_figures(raised(cells))
        await database.close()

    asyncio.run(write())


def test_a_table_by_version_and_segment_and_what_is_not_known(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    kept(tmp_path, now)
    file = tmp_path / "splitway.yaml"
    file.write_text(json.dumps(DOCUMENT))
    with control_thread(tmp_path) as url:
        cli = Cli(url, tmp_path)
        cli.says("config", "push", str(file))
        said = [line.split() for line in cli.says("reports", "shop", "--level", "1m").splitlines()]
        assert said[0] == ["VERSION", "SEGMENT", "REQUESTS", "ERRORS", "P50", "P95", "P99", *USERS]
        assert said[1][:5] == ["canary", "(all)", "30", "20", "%"]
        assert said[1][5:] == ["4.9", "ms", "579.3", "ms", "579.3", "ms", "2", "1", "1"]
        assert said[2] == ["canary", "country=de", "12", "25", "%", *"------"]
        assert said[3][:5] == ["stable", "(all)", "300", "1", "%"]
        gap = (now - 3 * MINUTE).strftime("%Y-%m-%d %H:%M:%SZ")
        end = (now - 2 * MINUTE).strftime("%Y-%m-%d %H:%M:%SZ")
        assert f"no reports from {gap} to {end}".split() in said
        assert said[-1] == ["3", "reports", "of", "proxies"]

        one = cli.says("reports", "shop", "--version", "canary", "--segment", "country=de")
        assert "country=de" in one
        assert "stable" not in one
        assert "nothing of this" in cli.says("reports", "shop", "--version", "canry")
        by_endpoint = cli.says("reports", "shop", "--by", "endpoint", "--since", "2d").splitlines()
        assert by_endpoint[1].split()[:5] == ["canary", "http://a:80", "30", "20", "%"]
        assert "expected segment, endpoint" in cli.fails("reports", "shop", "--by", "pod")
        told = json.loads(cli.says("reports", "shop", "--since", "10m", "--json"))
        assert (told["level"], told["next_cursor"]) == ("10s", None)
        assert [len(interval["rows"]) for interval in told["intervals"]] == [3, 3, 3]

        assert "unknown service" in cli.fails("reports", "shap")
        assert "expected 10s, 1m, 1h" in cli.fails("reports", "shop", "--level", "5s")
        for wrong in ("1", "h", "-1h", "1.5h", "0s", "401d", "99999999d"):
            assert "write a duration" in cli.fails("reports", "shop", f"--since={wrong}")


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ([], [(60, 540)]),
        (range(60, 600, 60), []),
        ([60, 120, 300, 480], [(180, 300), (360, 480)]),
        ([180], [(60, 180), (240, 540)]),
    ],
)
def test_gaps_are_whole_intervals_but_for_the_last(
    there: list[int], missing: list[tuple[int, int]]
) -> None:
    begin, end = (datetime.fromtimestamp(at, UTC) for at in (5, 605))
    found = [(int(a.timestamp()), int(b.timestamp())) for a, b in gaps(there, 60, begin, end)]
    assert found == missing
