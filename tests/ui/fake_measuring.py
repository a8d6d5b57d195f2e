"""A stand-in for ``python -m fine_tuner serve`` that measures nothing: at once, or (seed 13) for a minute."""

import json
import sys
import time

from fine_tuner.launch.serve import serve


def main(argv):
    print(json.dumps({"progress": "bf16 channels-last", "done": 3, "total": 32}), file=sys.stderr)
    if "seed=13" in argv:
        time.sleep(60)
    print(json.dumps({"argv": argv}))
    return 0


if __name__ == "__main__":
    sys.exit(serve(main))
