import io
from pathlib import Path

import pytest
from rich.console import Console

from loadtests.demo.live import Picture
from loadtests.demo.setting import Ports, Setting
from loadtests.demo.show import PLAIN_EVERY_S, Screen, plain_line, table, to_try, urls

PICTURE = Picture(
    step=1,
    weights={"stable": 80, "canary": 20},
    asked={"stable": 0.8, "canary": 0.2},
    seen={"stable": 0.805, "canary": 0.195},
    users=2000,
    sent=4321,
    failed=2,
    rate=987.6,
    p50_ms=1.2,
    p99_ms=9.8,
)
SETTING = Setting(Path("/x"), Ports(1, 2, 3, 4, 5), 60.0, stay=True, users=9, series="u")


def test_the_plain_line_has_every_figure() -> None:
    assert plain_line(PICTURE, 12.0) == (
        "   12 s  canary 19.5% of 2,000 users (asked 20%), stable 80.5% of 2,000 users (asked 80%)"
        "  988 req/s  p50 1.2 ms  p99 9.8 ms  errors 2"
    )


def test_the_table_has_every_figure() -> None:
    output = io.StringIO()
    Console(file=output, width=120).print(table(PICTURE, 12.0, 60.0))
    text = output.getvalue()
    for figure in ("20.00%", "19.50%", "390", "1,610", "988", "1.2", "9.8", "4,321", "errors 2"):
        assert figure in text
    assert "12 of 60 s, weights stable=80,canary=20" in text


def test_away_from_a_terminal_lines_come_every_few_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Screen(60.0) as screen:
        for elapsed_s in (0.0, 0.5, PLAIN_EVERY_S, PLAIN_EVERY_S + 0.5):
            screen.draw(PICTURE, elapsed_s)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_every_url_and_command_is_told() -> None:
    for port in (1, 2, 3, 4, 5):
        assert f"http://127.0.0.1:{port}/" in urls(SETTING)
    assert "cat /x/token" in to_try(SETTING)
    assert "http://127.0.0.1:2/v1/services/shop/weights" in to_try(SETTING)
