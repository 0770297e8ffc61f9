"""Matplotlib figures that more than one folder draws."""
