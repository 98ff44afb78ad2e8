"""`python -m street_inference`: see `command`."""

import sys

from street_inference.command import main

sys.exit(main())
