"""A run as one Python file that repeats it with torch and torchvision alone, made of the code that trained."""
