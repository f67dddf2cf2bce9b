"""Activations -> a trained head and tail."""
