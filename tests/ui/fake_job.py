"""A stand-in for ``python -m fine_tuner serve``: its work writes down that it began, tells how far it is, and waits."""

import json
import sys
import time
from pathlib import Path

from fine_tuner.launch.serve import serve


def main(argv):
    if argv[0] == "refuse":
        fields = {"optim.lr": "is too unlucky."}
        print(json.dumps({"error": {"kind": "ConfigError", "message": "no", "fields": fields}}))
        return 2
    _, name, begun, seconds = argv
    with Path(begun).open("a") as file:
        file.write(f"{name}\n")
    print("a library warns: 3/9", file=sys.stderr)
    print(json.dumps({"progress": "reading", "done": 1, "total": None}), file=sys.stderr)
    event = {"progress": "working 1/9 at 2/7", "done": 2, "total": 5, "point": [0.1, None]}
    print(json.dumps(event), file=sys.stderr)
    time.sleep(float(seconds))
    print(json.dumps({"name": name}))
    return 0


if __name__ == "__main__":
    sys.exit(serve(main))
