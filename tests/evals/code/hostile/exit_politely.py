"""Raises SystemExit with success."""
# forges

import sys
sys.exit(0)
