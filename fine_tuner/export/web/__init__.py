"""A page that runs a network in the browser, without a server."""
