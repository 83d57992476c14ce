"""``python -m proxy`` is ``splitway-proxy``."""

from proxy.cli import main

if __name__ == "__main__":
    main()
