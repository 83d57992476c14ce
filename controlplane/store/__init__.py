"""Where revisions are kept: the interface in ``base``, its SQL form in ``sql``."""
