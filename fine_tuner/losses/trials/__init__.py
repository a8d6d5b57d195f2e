"""One call of a user's loss, what can be told from it, and in which form the loss has a meaning."""
