"""`python -m pellucid`: the same as the console script."""

from pellucid.cli.main import entry

entry()
