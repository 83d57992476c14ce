"""Who calls, and what they may do: callers and roles, tokens, sign-in by an identity provider."""
