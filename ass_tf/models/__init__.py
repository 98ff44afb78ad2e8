"""Networks: the generator and the discriminators."""
