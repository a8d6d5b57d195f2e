"""What will happen, before it happens: derived numbers, memory, learning-rate finder."""
