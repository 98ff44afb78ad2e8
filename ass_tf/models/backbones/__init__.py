"""One file for each family of backbones; `build` makes it: see `config.backbones`."""
