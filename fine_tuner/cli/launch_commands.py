"""The command that trains a run on several machines. Takes the parsed arguments and returns its exit code."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fine_tuner.cli.arguments import Commands, add_overrides, print_json, read_settings
from fine_tuner.config.io import read_tree
from fine_tuner.launch.cluster import kubernetes_manifest, slurm_script
from fine_tuner.launch.torchrun import MAX_RESTARTS, WAIT_SECONDS, Nodes, node_arguments, node_line
from fine_tuner.planning.loss_checks import admit_code, refuse_code_of_run
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.store import RunStore

FORMATS = ("lines", "slurm", "kubernetes")


def add_commands(commands: Commands) -> None:
    """Its words and options."""
    command = commands.add("launch", launch, "train on several machines: the line for each, or a script for a cluster")
    command.add_argument("config", metavar="RUN|CONFIG", help="a run, by its folder or id; or settings, as for train")
    add_overrides(command)
    command.add_argument("--nodes", type=int, default=1, help="how many machines (default 1)")
    command.add_argument("--rdzv", default="localhost:29400", metavar="HOST:PORT", help="where they meet: one of them")
    command.add_argument("--format", choices=FORMATS, default="lines", help="what is printed (default lines)")
    command.add_argument("--run", dest="start", action="store_true", help="start this machine's part now")
    command.add_argument(
        "--max-restarts", type=int, default=MAX_RESTARTS, metavar="N",
        help=f"how often all go on from the last checkpoint when one is lost (default {MAX_RESTARTS})",
    )  # fmt: skip
    command.add_argument(
        "--wait", type=int, default=WAIT_SECONDS, metavar="SECONDS",
        help=f"how long a machine waits for the others (default {WAIT_SECONDS})",
    )  # fmt: skip
    command.add_argument("--image", default="fine-tuner:latest", help="of kubernetes: container image")
    command.add_argument("--claim", default="runs", help="of kubernetes: claim of the volume with the runs")


def launch(arguments: argparse.Namespace) -> int:
    """``launch``: print, or start, what each of several machines has to run."""
    nodes = Nodes(
        number=arguments.nodes,
        rendezvous=arguments.rdzv,
        wait_seconds=arguments.wait,
        max_restarts=arguments.max_restarts,
    )
    run = _run_of(arguments)
    refuse_code_of_run(run)
    devices = str(read_tree(run.config).get("devices", "auto"))
    if arguments.start:
        return _start(run, nodes, devices, arguments)
    text = _text(run, nodes, devices, arguments)
    if arguments.json:
        print_json({"run": str(run.path), "format": arguments.format, "text": text})
    else:
        print(text)
    return 0


def _run_of(arguments: argparse.Namespace) -> RunFolder:
    """The run that was named, or a new one of the settings."""
    store, name = RunStore(arguments.runs), arguments.config
    if Path(name, "config.yaml").is_file():
        return RunFolder(Path(name).resolve())
    if name in store.ids():
        return store.find(name)
    settings = read_settings(name, arguments.overrides)
    admit_code(settings)
    return store.create(settings, argv=["train", name, *arguments.overrides])


def _text(run: RunFolder, nodes: Nodes, devices: str, arguments: argparse.Namespace) -> str:
    if arguments.format == "slurm":
        return slurm_script(run, nodes, devices=devices)
    if arguments.format == "kubernetes":
        return kubernetes_manifest(run, nodes, devices=devices, image=arguments.image, claim=arguments.claim)
    line = node_line(run, nodes, devices=devices)
    where = "on this machine" if nodes.number == 1 else f"on each of the {nodes.number} machines"
    return f"# {where}; the run's folder and its data lie at the same paths on all of them\n{line}"


def _start(run: RunFolder, nodes: Nodes, devices: str, arguments: Any) -> int:
    from fine_tuner.training.run.ranks import train_on_node

    code = train_on_node(run, devices, node_arguments(run, nodes, devices=devices))
    print(f"run: {run.path}", flush=True)
    if arguments.json:
        print_json(RunStore(run.path.parent).summary(run.id).to_json())
    return code
