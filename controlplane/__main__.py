"""Owns ``python -m controlplane``: the same as ``splitway-control``. Never does anything itself."""

import sys

from controlplane.cli import main

if __name__ == "__main__":
    sys.exit(main())
