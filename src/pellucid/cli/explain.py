"""`pellucid explain RECIPE`: every value of the resolved recipe and where it comes from."""

import argparse
from pathlib import Path

from pellucid.cli.output import print_json, print_table, print_text
from pellucid.cli.study import explain_study
from pellucid.recipe.explain import explain, explain_json
from pellucid.recipe.load import load_recipe
from pellucid.recipe.read import is_study

__all__ = ["command"]


def command(arguments: argparse.Namespace) -> int:
    """Print the recipe value by value; sources, one per line, come last since there may be many."""
    if is_study(Path(arguments.recipe)):
        return explain_study(arguments)
    loaded = load_recipe(Path(arguments.recipe), arguments.overrides)
    if arguments.json:
        print_json(explain_json(loaded))
        return 0
    rows = explain(loaded)
    own = [row for row in rows if not row.field.startswith("sources.")]
    print_table(
        ("field", "value", "origin", "meaning"), ((r.field, r.value, f"{r.origin} {r.place}".strip(), r.description) for r in own)
    )
    sources = loaded.recipe.sources
    print_text("")
    table = ((s.name, f"{s.weight:g}", s.category, s.language or "per record", s.path or s.hub) for s in sources)
    print_table(("source", "weight", "category", "language", "from"), table, right=(1,))
    print_text(f"\n{len(rows)} values, digest {loaded.digest[:16]}; change any with --set FIELD=VALUE")
    return 0
