"""Images per second and peak memory of each precision and memory format, as ``compare-precisions`` measures them.

    python benchmarks/precisions.py [--networks resnet18 mobilenet_v3_large] [--batch 16] [--steps 4]

Uses the pictures of the embedded sample at 224 px and random weights; each network in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["resnet18", "mobilenet_v3_large"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4)
    arguments = parser.parse_args()
    for name in arguments.networks:
        settings = [f"model.name={name}", "model.weights=none", "data.image_size=224"]
        command = [sys.executable, "-m", "fine_tuner", "compare-precisions", "sample", *settings]
        command += [f"train.batch_size={arguments.batch}", "--steps", str(arguments.steps), "--json"]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        result = json.loads(out.splitlines()[-1])
        for row in result["rows"]:
            print(f"{name:>20} {row['variant']:>20} {row['images_per_second']!s:>8} img/s {row['peak_mib']!s:>6} MiB")
        print(f"{'':>20} {result['words']}", flush=True)


if __name__ == "__main__":
    main()
