"""What is measured while a run pauses does not change the run."""

from __future__ import annotations

from pathlib import Path

from fine_tuner.config.io import parse
from fine_tuner.runs.layout import RunFolder
from fine_tuner.runs.log.events import EventWriter, RunStarted
from fine_tuner.training.run.kept_settings import keep_precision


def test_a_resumed_run_keeps_what_auto_was_when_it_began(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    writer = EventWriter(run.events)
    facts = {"precision": "bf16", "is_channels_last": True}
    writer.write(RunStarted(start_step=0, total_steps=4, epochs=1, steps_per_epoch=4, facts=facts), durable=True)
    writer.close()
    kept = keep_precision(parse({"precision": {"dtype": "auto"}}), run).precision
    assert (kept.dtype, kept.channels_last) == ("bf16", "on")
    chosen = parse({"precision": {"dtype": "fp32", "channels_last": "off"}})
    assert keep_precision(chosen, run) == chosen, "what was set stays as it is set"
