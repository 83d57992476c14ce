"""The operator's ``splitway`` command: arguments (``cli``), the API's client, what is shown."""
