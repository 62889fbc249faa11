"""Where Python enters the archive `python.pyz`."""

import sys

from segue_model.__main__ import main

sys.exit(main())
