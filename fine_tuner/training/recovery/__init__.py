"""The way back, when a run is resumed or its numbers went bad: checkpoints, rollback, evidence of a bad step."""
