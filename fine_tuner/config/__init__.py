"""Settings: the typed tree, its variants, YAML and presets. No torch."""
