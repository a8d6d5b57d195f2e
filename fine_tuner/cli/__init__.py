"""The command line: its words and options, and what each command does."""
