"""`python -m services.router`: tools for a data directory."""

import sys

from services.router.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
