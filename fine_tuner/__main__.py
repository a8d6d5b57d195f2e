"""``python -m fine_tuner``: the command line."""

import sys

from fine_tuner.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
