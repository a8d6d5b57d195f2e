"""Masks: which value is which class, and the colours that classes are drawn in."""
