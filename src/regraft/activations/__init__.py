"""Prefix x Pixels -> Activations: the frozen part of the network, run once and kept."""
