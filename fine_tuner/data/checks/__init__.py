"""The check of a data set: rules, findings with examples and remedies, small pictures of them."""
