"""Layouts of data: recognised, read, and handed over as records. One reader a layout."""
