"""A stand-in for ``python -m fine_tuner``: ``serve`` and ``standby`` with commands that tests need, and no torch."""

import os
import sys
import time

from fine_tuner.launch.serve import serve
from fine_tuner.launch.standby import wait_and_run


def main(argv):  # noqa: C901 - a table of stand-in commands
    match argv:
        case ["echo", *words]:
            print(" ".join(words))
        case ["env", name]:
            print(os.environ.get(name, "unset"))
        case ["pid"]:
            print(os.getpid())
        case ["sleep", seconds]:
            time.sleep(float(seconds))
        case ["fail"]:
            raise RuntimeError("broken on purpose")
        case ["exit", code]:
            sys.exit(int(code) if code.isdigit() else code)
        case ["die"]:
            os.write(2, b"last words\n")
            os._exit(3)
        case ["noise"]:
            os.write(1, b'{"id": 1, "code": 9}\n')
            print("heard")
        case ["progress"]:
            for done in range(3):
                print(f"reading {done}/3", file=sys.stderr)
        case ["read"]:
            print(repr(sys.stdin.read()))
        case ["chdir", folder]:
            os.chdir(folder)
        case ["cwd"]:
            print(os.getcwd())
        case ["train", *rest]:
            import fake_worker

            return fake_worker.main(rest)
        case _:
            print("error: unknown command", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(serve(main) if sys.argv[1] == "serve" else wait_and_run(main, preload=["json", "not_there_at_all"]))
