"""What happens inside: recurrent cells by their equations, and what a trained network does with one picture."""
