"""What everything else stands on: errors, registry, files, cache folder, machine. Knows nothing else of ours."""
