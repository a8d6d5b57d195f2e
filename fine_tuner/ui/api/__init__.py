"""The routes that scripts of the page ask."""
