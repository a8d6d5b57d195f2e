"""A stand-in for ``python -m fine_tuner serve`` that measures nothing: at once, or (seed 13) for a minute."""

import json
import sys
import time

from fine_tuner.launch.serve import serve


def main(argv):
    print("step 3/32  bf16 channels-last", file=sys.stderr)
    if "seed=13" in argv:
        time.sleep(60)
    print(json.dumps({"argv": argv}))
    return 0


if __name__ == "__main__":
    sys.exit(serve(main))
