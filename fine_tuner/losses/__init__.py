"""Loss functions: formulas, modules, the check of a user's own, and the child process it runs in."""
