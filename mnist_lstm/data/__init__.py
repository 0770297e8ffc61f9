"""From disk to uint8 arrays: MNIST's files, their format, and which images are held out. Never imports Lightning."""
