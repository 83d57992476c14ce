"""A steady population of users, each with its own X-User-Id, and nobody touches the weights.

    python -m locust -f loadtests/locustfiles/steady.py --headless --host http://127.0.0.1:8080 \
        -u 40 -r 40 -t 60s --csv run/steady && python -m loadtests.report run/journal.jsonl

Environment variables:
    LOAD_USERS    size of the population (2000); -u only says how many lanes play it
    LOAD_SERIES   what the user ids begin with (user0)
    LOAD_RATE     requests per second of all lanes together; 0 (default) is as fast as they can
    LOAD_SERVICE  the service's name (shop), for its slots
    LOAD_SALT     the service's salt, if it has one
    LOAD_WEIGHTS  the weights in force, e.g. stable=95,canary=5; then every user is also checked
                  against the slot (give them only if they were never changed live)
    LOAD_JOURNAL  the clients' journal (run/journal.jsonl)
"""

import os
from typing import Any

from loadtests.journal import Start
from loadtests.locustfiles import clients, settings
from loadtests.recorder import now_us

WEIGHTS = settings.steps("LOAD_WEIGHTS")[0] if os.environ.get("LOAD_WEIGHTS") else {}


class SteadyUser(clients.PopulationUser):
    """Asks, and asks again."""


def begin(environment: Any, **_: Any) -> None:
    """Opens the journal."""
    clients.begin(
        environment,
        Start(
            at_us=now_us(),
            service=clients.SERVICE,
            users=clients.USERS,
            series=clients.SERIES,
            salt=os.environ.get("LOAD_SALT", ""),
            weights=WEIGHTS,
        ),
    )


clients.hooks.test_start.add_listener(begin)
clients.hooks.test_stop.add_listener(clients.end)
