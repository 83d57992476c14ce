"""The sample service: two of it, with different version names, stand behind the proxy."""
