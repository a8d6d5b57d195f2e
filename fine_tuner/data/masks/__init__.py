"""Masks: what values their files hold, which value is which class, in which colours, and which way up they lie."""
