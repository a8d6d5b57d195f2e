"""``python app.py``: serve the page, as ``fine-tuner`` does where it is installed."""

import sys

from fine_tuner.ui.command_line import main

if __name__ == "__main__":
    sys.exit(main())
