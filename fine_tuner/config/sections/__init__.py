"""The sections of the settings tree, one file each: their fields with bounds, labels and help. No torch."""
