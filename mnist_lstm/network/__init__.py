"""From images ``(N, 28, 28)`` to logits ``(N, 10)``: the network, its options, its equations. Needs PyTorch alone."""
