"""The demo: every process started, weights moved under load, and what the clients saw, printed.

``setting`` decides names, ports and files; ``children`` runs processes; ``live`` follows the
journal; ``show`` has the words; ``run`` is the order of events.
"""
