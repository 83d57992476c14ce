"""Load and the demo: a sample service, Locust files, and what the clients' own journal proves.

The road of a run: ``locustfiles`` send requests and write one ``journal`` line each (``recorder``);
``analysis`` reads the journal and recomputes with the proxy's own hash where each user belonged;
``demo`` starts every process, watches, and prints the findings. Nothing here is shipped.
"""
