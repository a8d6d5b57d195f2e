"""A stand-in for ``python -m fine_tuner serve`` that sweeps without torch: slowly, or with wrong input."""

import json
import os
import sys
import time

from fine_tuner.launch.serve import serve

RESULT = {
    "lrs": [1e-5, 1e-3, 1e-1], "losses": [1.4, 1.0, 5.0], "smoothed": [1.4, 1.2, 2.0], "steepest": 1e-3, "valley": 3e-4,
    "diverged_at": 1e-1, "stopped": "diverged",
}  # fmt: skip


def main(argv):
    steps = int(argv[argv.index("--steps") + 1])
    if steps == 13:
        fields = {"optim.lr": "is too unlucky."}
        print(json.dumps({"error": {"kind": "ConfigError", "message": "no", "fields": fields}}))
        return 2
    if any(word == "loss.name=custom" for word in argv):  # tells what it was asked, and in which process
        print(json.dumps(RESULT | {"asked": argv, "process": os.getpid()}))
        return 0
    for done in range(1, 4):
        event = {"progress": "sweep", "done": done, "total": steps, "point": [10.0**-done, 1.5 / done]}
        print(json.dumps(event), file=sys.stderr)
    if steps == 1000:
        time.sleep(60)
    print(json.dumps(RESULT))
    return 0


if __name__ == "__main__":
    sys.exit(serve(main))
