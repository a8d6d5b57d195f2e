"""Files on disk: finding them, unpacking archives, decoding images, and remembering what was seen of them."""
