"""Handwritten digits read row by row by an LSTM. Importing the package imports nothing else."""
