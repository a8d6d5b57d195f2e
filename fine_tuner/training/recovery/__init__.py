"""The way back when memory runs out or numbers go bad: evidence, the last good state, changes made again."""
