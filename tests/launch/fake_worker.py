"""A worker without torch that keeps the contract of a real one: lock, events, control files, signals, exit codes.

Usage: fake_worker.py RUN_FOLDER [--steps N] [--seconds S] [--start N] [--exit CODE] [--deaf] [--ignore-term] [--orphan]
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from fine_tuner.runs import control
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.lock import WorkerLock
from fine_tuner.runs.log.events import EvalMetrics, EventWriter, RunFinished, RunStarted, TrainMetrics

parser = argparse.ArgumentParser()
parser.add_argument("train", nargs="?")
parser.add_argument("run", type=Path)
parser.add_argument("--steps", type=int, default=10)
parser.add_argument("--start", type=int, default=0)
parser.add_argument("--seconds", type=float, default=0.01)
parser.add_argument("--exit", type=int)
parser.add_argument("--before-lock", type=float, default=0.0)
parser.add_argument("--deaf", action="store_true")
parser.add_argument("--ignore-term", action="store_true")
parser.add_argument("--orphan", action="store_true")


def main(argv=None):
    args = parser.parse_args(argv)
    run = RunFolder(args.run)
    time.sleep(args.before_lock)
    wanted = []
    signal.signal(signal.SIGTERM, lambda *_: None if args.ignore_term else wanted.append("stop"))
    print("worker begins", os.getpid(), flush=True)
    if args.orphan:  # a loading process that outlives its worker, as a forked one would
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
    with WorkerLock(run.lock):
        writer = EventWriter(run.events)
        facts = {"global_batch_size": 8, "val_images": 4, "best_metric": "val/accuracy", "best_direction": "max"}
        epochs = 2
        per_epoch = max(1, args.steps // epochs)
        writer.write(
            RunStarted(
                start_step=args.start, total_steps=args.steps, epochs=epochs, steps_per_epoch=per_epoch, facts=facts
            )
        )
        for step in range(args.start + 1, args.steps + 1):
            time.sleep(args.seconds)
            if not args.deaf:
                wanted.extend(control.pending(run))
            if wanted:
                outcome = {"stop": "stopped", "pause": "paused"}[wanted[0]]
                control.clear(run)
                writer.write(RunFinished(outcome=outcome, step=step - 1), durable=True)
                return 130 if outcome == "stopped" else 0
            if args.exit is not None and step > args.steps // 2:
                print("RuntimeError: something broke", file=sys.stderr, flush=True)
                return args.exit
            epoch = (step - 1) // per_epoch + 1
            metrics = {"train/loss": 1 / step, "train/images_per_second": 100.0}
            writer.write(TrainMetrics(step=step, epoch=epoch, metrics=metrics))
            if step % per_epoch == 0:
                metrics = {"val/loss": 1 / step, "val/accuracy": 1 - 1 / step}
                writer.write(EvalMetrics(step=step, epoch=epoch, split="val", metrics=metrics, seconds=0.5))
        writer.write(RunFinished(outcome="completed", step=args.steps), durable=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
