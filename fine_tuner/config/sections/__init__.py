"""The sections of the settings tree: their fields with bounds, labels and help. No torch."""
