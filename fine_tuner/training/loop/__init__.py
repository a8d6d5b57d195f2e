"""The loop: ``trainer.train`` -> ``train_step``, what it owns, and what happens between epochs."""
