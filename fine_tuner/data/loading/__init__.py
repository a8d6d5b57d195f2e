"""From records to batches: decoding, transforms, mixing, the order of an epoch, and a picture of all that."""
