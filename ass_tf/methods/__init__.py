"""The training step: losses, optimisers, adversaries."""
