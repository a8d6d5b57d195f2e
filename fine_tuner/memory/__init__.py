"""Memory: what a run will take, counted on tensors without data, and what it takes, read from the device."""
