"""The set-up: inputs made from the settings tree, their values to settings and back, and its part of the page."""
