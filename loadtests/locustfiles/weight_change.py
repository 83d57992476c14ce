"""Weights move under load: the population asks, and meanwhile the weights go step by step.

The steps are asked of the control plane's API; the journal holds when each was asked, answered
and in force in every connected proxy.

    python -m locust -f loadtests/locustfiles/weight_change.py --headless \
        --host http://127.0.0.1:8080 -u 40 -r 40 -t 60s --csv run/change \
        && python -m loadtests.report run/journal.jsonl

Environment variables:
    LOAD_CONTROL_URL         the control plane (http://127.0.0.1:9800)
    LOAD_CONTROL_TOKEN_FILE  a file with the operator's token; must be set
    LOAD_STEPS               weights step by step (stable=99,canary=1;stable=80,canary=20;
                             stable=50,canary=50); the first are set before the first request
    LOAD_STEP_S              seconds of each step (20)
    LOAD_USERS, LOAD_SERIES, LOAD_RATE, LOAD_SERVICE, LOAD_JOURNAL   as in steady.py
"""

import sys
from pathlib import Path
from typing import Any

import gevent  # type: ignore[import-untyped]  # it ships no types
import msgspec

from loadtests.control import Control, ControlError
from loadtests.journal import Change, Start, weights_text
from loadtests.locustfiles import clients, settings
from loadtests.recorder import now_us

STEPS = settings.steps("LOAD_STEPS", "stable=99,canary=1;stable=80,canary=20;stable=50,canary=50")
STEP_S = settings.number("LOAD_STEP_S", 20, least=0.1)
TOKEN_FILE = Path(settings.text("LOAD_CONTROL_TOKEN_FILE"))
if not TOKEN_FILE.is_file():
    settings.refuse("LOAD_CONTROL_TOKEN_FILE", f"{TOKEN_FILE} is not a file")
CONTROL = Control(
    settings.text("LOAD_CONTROL_URL", "http://127.0.0.1:9800"), TOKEN_FILE.read_text().strip()
)


class ChangingUser(clients.PopulationUser):
    """Asks, and asks again, whatever the weights."""


def change(step: int) -> Change:
    """Asks for a step's weights and waits until they are in force everywhere."""
    weights = STEPS[step]
    asked_us = answered_us = now_us()
    revision, error = 0, ""
    try:
        revision = CONTROL.put_weights(clients.SERVICE, weights, f"load step {step}")
        answered_us = now_us()
        CONTROL.await_settled(revision)
    except ControlError as failure:
        error = str(failure)
    return Change(
        step=step,
        weights=weights,
        asked_us=asked_us,
        answered_us=answered_us,
        settled_us=now_us(),
        revision=revision,
        error=error,
    )


def walk(run: clients.Run) -> None:
    """Goes through the steps after the first, each for its time."""
    for step in range(1, len(STEPS)):
        gevent.sleep(STEP_S)
        made = change(step)
        run.step = step
        run.recorder.write(made)
        print(f"step {step}: {weights_text(made.weights)} {made.error or 'in force'}", flush=True)


def begin(environment: Any, **_: Any) -> None:
    """Sets the first weights, then opens the journal and starts walking."""
    first, salt = change(0), ""
    try:
        salt = CONTROL.salt(clients.SERVICE)
    except ControlError as failure:
        first = msgspec.structs.replace(first, error=first.error or str(failure))
    run = clients.begin(
        environment,
        Start(
            at_us=now_us(),
            service=clients.SERVICE,
            users=clients.USERS,
            series=clients.SERIES,
            salt=salt,
            weights=STEPS[0],
        ),
    )
    if first.error:
        run.recorder.write(first)
        clients.end()
        print(f"the first weights could not be set: {first.error}", flush=True)
        sys.exit(2)
    walker = gevent.spawn(walk, run)

    def end(**_: Any) -> None:
        walker.kill()
        clients.end()

    clients.hooks.test_stop.add_listener(end)


clients.hooks.test_start.add_listener(begin)
