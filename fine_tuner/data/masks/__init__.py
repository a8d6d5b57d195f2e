"""Masks: what values their files hold, which value is which class, and where images and masks lie beside each other."""
