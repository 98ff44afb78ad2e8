"""The training step: losses, optimisers, adversaries."""

# Parts of the names of a step's terms: NORM + a loss's name, a discriminator's name + ACCURACY + a domain.
NORM, ACCURACY = "gradient_norm_", "_accuracy_"
