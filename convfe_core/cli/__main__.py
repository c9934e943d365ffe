"""``python -m convfe_core.cli``."""

import sys

from convfe_core.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
