"""What of a network is frozen, from its input on, runs once per image and view; epochs train what is left."""
