"""The database's history, one file a step in ``versions``; run at every start by ``migrate``."""
