"""Runs written by hand: a worker that records what it is told to, without training anything."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fine_tuner.base.files import write_json
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.lock import WorkerLock
from fine_tuner.runs.log.events import EvalMetrics, EventWriter, Mark, Message, RunFinished, RunStarted, TrainMetrics


class HandRun:
    """A run whose worker is this process: it records what it is told to."""

    def __init__(
        self, root: Path, run_id: str, *, title: str = "sample mobilenet_v3_small", epochs: int = 10,
        steps_per_epoch: int = 16, groups: Mapping[str, float] | None = None, created: float | None = None,
        **facts: Any,
    ) -> None:  # fmt: skip
        self.folder = RunFolder(root / run_id)
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        self.total = epochs * steps_per_epoch
        self.groups = dict(groups or {"head": 1e-3, "backbone": 1e-4})
        self.random = random.Random(1)
        self.step = 0
        self.spike = 0.0
        for path in (self.folder.path, self.folder.control, self.folder.checkpoints, self.folder.log.parent):
            path.mkdir(parents=True)
        info = {"id": run_id, "title": title, "model": "mobilenet_v3_small", "data": "sample", "task": "classification"}
        write_json(self.folder.info, info | {"created": time.time() if created is None else created})
        self.lock = WorkerLock(self.folder.lock)
        self.lock.acquire()
        self.writer = EventWriter(self.folder.events)
        self.facts = facts

    def begin(self) -> None:
        steps = sorted({1 + round(i * (self.total - 1) / 100) for i in range(101)})
        self.writer.write(
            RunStarted(
                start_step=0, total_steps=self.total, epochs=self.epochs, steps_per_epoch=self.steps_per_epoch,
                facts={
                    "device": "cpu", "precision": "fp32", "model": "mobilenet_v3_small", "weights": "random",
                    "train_images": 32 * self.steps_per_epoch, "val_images": 153, "global_batch_size": 32,
                    "classes": ["ants", "bees"], "groups": list(self.groups), "best_metric": "val/accuracy",
                    "best_direction": "max", "memory_forecast_mib": 1850.0,
                    "schedule": {
                        "steps": steps,
                        "groups": {name: [self.rate(name, s - 1) for s in steps] for name in self.groups},
                    },
                } | self.facts,
            )
        )  # fmt: skip

    def rate(self, group: str, step: int) -> float:
        share = step / max(1, self.total)
        warm = 0.25
        scale = (
            0.5 - 0.46 * math.cos(math.pi * share / warm)
            if share < warm
            else 0.5 + 0.5 * math.cos(math.pi * (share - warm) / (1 - warm))
        )
        return self.groups[group] * scale

    def loss(self, step: int) -> float:
        return 1.9 * math.exp(-4 * step / self.total) + 0.12 + self.random.gauss(0, 0.07) * math.exp(-step / self.total)

    def train(self, steps: int = 1, **more: float) -> None:
        """Record steps, and a validation at the end of each epoch."""
        for _ in range(min(steps, self.total - self.step)):
            rates = {f"train/lr/{name}": self.rate(name, self.step) for name in self.groups}
            self.step += 1
            metrics = {
                "train/loss": max(0.02, self.loss(self.step)) + self.spike, **rates,
                "train/grad_norm": 1.2 + self.random.random(),
                "train/images_per_second": 212 + self.random.gauss(0, 9), **more,
            }  # fmt: skip
            if self.step % 4 == 1:
                metrics["memory/process_mib"] = 1700 + 140 * (1 - math.exp(-self.step / 20)) + self.random.random()
            epoch = -(-self.step // self.steps_per_epoch)
            self.writer.write(TrainMetrics(step=self.step, epoch=epoch, metrics=metrics))
            if self.step % self.steps_per_epoch == 0:
                self.validate(epoch)

    def validate(self, epoch: int) -> None:
        accuracy = round(153 * (0.965 - 0.42 * math.exp(-epoch / 1.8) + self.random.gauss(0, 0.012))) / 153
        metrics = {"val/loss": 1.5 * math.exp(-3.1 * epoch / self.epochs) + 0.22, "val/accuracy": min(1.0, accuracy)}
        metrics["val/f1"] = metrics["val/accuracy"] - 0.012
        self.writer.write(
            EvalMetrics(step=self.step, epoch=epoch, split="val", metrics=metrics, seconds=0.4, is_best=True)
        )

    def say(self, text: str, level: str = "info") -> None:
        self.writer.write(Message(level=level, text=text, step=self.step))  # type: ignore[arg-type]

    def mark(self, label: str, text: str = "") -> None:
        self.writer.write(Mark(step=self.step, label=label, text=text))

    def finish(self, outcome: str = "completed", error: str | None = None, **summary: str) -> None:
        self.writer.write(RunFinished(outcome=outcome, step=self.step, error=error, summary=summary))  # type: ignore[arg-type]
        self.die()

    def die(self) -> None:
        """As SIGKILL would: the lock goes, nothing is said."""
        self.writer.close()
        self.lock.release()


def example_runs(root: Path) -> dict[str, HandRun]:
    """A run in each state; the one that runs is the newest."""
    now = time.time()
    lost = HandRun(root, "20261120-080000-lost", title="ants resnet18", created=now - 3 * 86400)
    lost.begin(), lost.train(70), lost.die()
    failed = HandRun(root, "20261121-090000-failed", title="ants resnet50 lr 3", created=now - 2 * 86400)
    failed.begin(), failed.train(23)
    failed.folder.log.write_text("reading data\nepoch 1  train loss 1.93\nepoch 2  train loss 7.1e4\n")
    failed.finish(
        "failed",
        "The training loss is nan at step 24 (epoch 2, learning rate head 3, backbone 0.3). The weights were not "
        "updated. Lower optim.lr, set optim.clip_norm=1, or check the data.",
    )
    done = HandRun(root, "20261122-100000-done", title="ants mobilenet_v2", created=now - 7200)
    done.begin(), done.train(48), done.mark("unfreeze", "everything trains from here"), done.train(200)
    done.say("Weights come from the cache."), done.say("3 images could not be read and were skipped.", "warning")
    best = done.folder.best_weights
    best.parent.mkdir(parents=True), best.write_bytes(b"weights"), (done.folder.checkpoints / "last").mkdir()
    done.finish()
    cuda = HandRun(
        root, "20261122-120000-cuda", title="pets resnet50 \u00b7 layer decay", created=now - 3600, epochs=5,
        steps_per_epoch=80,
        groups={"head": 1e-3, **{f"layer{i}": 1e-3 * 0.7 ** (5 - i) for i in (4, 3, 2, 1)}, "stem": 1e-3 * 0.7**5},
        device="cuda: NVIDIA RTX 4090", precision="bf16-mixed", memory_forecast_mib=6100.0,
    )  # fmt: skip
    cuda.begin()
    for i in range(400):
        cuda.train(
            1,
            **(
                {
                    "memory/allocated_mib": 5200 + 500 * cuda.random.random(),
                    "memory/reserved_mib": 6400.0,
                    "memory/device_mib": 7300.0,
                }
                if i % 5 == 0
                else {}
            ),
        )
    cuda.finish()
    running = HandRun(root, "20261123-110000-running", created=now)
    running.begin(), running.train(40), running.mark("unfreeze", "backbone"), running.train(27)
    running.say("A small network from random weights: the numbers say nothing about pretrained ones.")
    return {"lost": lost, "failed": failed, "done": done, "cuda": cuda, "running": running}
