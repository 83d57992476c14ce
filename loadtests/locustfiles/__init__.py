"""Locust files, run by ``python -m locust -f FILE --headless``; gevent lives only in there."""
