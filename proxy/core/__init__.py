"""Pure decisions: values in, decision out. No clock, no randomness, no I/O of its own."""
