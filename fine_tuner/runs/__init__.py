"""Runs as folders: layout, events, locks, the fold over events, and the store. No torch."""
