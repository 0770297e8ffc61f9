"""Explain what a trained network does with one picture: numbers first, figures from them."""
