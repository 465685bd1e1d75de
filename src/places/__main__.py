"""`python -m places` is `places`."""

import sys

from places.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
