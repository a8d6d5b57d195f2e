"""What the page asks of other processes: questions, and jobs with a start, progress, a cancel and a result."""
