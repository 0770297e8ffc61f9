"""Whether files are, to the bit, what was written."""
