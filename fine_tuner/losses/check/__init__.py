"""The check of a user's own loss: run in a child process with limits, on real and synthetic batches."""
