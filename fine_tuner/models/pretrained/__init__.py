"""Weights made elsewhere: which there are, getting them, reading their files, fitting them into a network."""
