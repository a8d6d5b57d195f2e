"""Fine Tuner: fine-tune pretrained torchvision models by pointing and clicking, or from the command line."""

__version__ = "0.1.0"
