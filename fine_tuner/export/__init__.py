"""What a run leaves for elsewhere: weights, its settings as a file or a command, a script that needs none of this."""
