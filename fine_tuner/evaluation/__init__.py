"""What trained weights are worth: one pass over a split, and what follows from it."""
