"""Devices, and the processes (ranks) that train one run together, each on a device of its own."""
