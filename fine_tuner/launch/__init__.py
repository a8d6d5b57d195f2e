"""Worker processes: their command lines, start and end, devices and queue, standby and assistant. No torch."""
