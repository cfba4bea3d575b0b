"""The shipped studies, run on the pocket corpus: what each says is kept in benchmarks/studies/ as JSON, with its page.

Each takes less than two core hours. What is finished in the folder of runs is not made again, so a study that was cut off goes on.

    python benchmarks/studies.py                        # all of them
    python benchmarks/studies.py schedules mixes --runs /data/studies --workers 2
"""

import argparse
import shutil
import sys
from pathlib import Path

from pellucid.cli.main import main as pellucid
from pellucid.core.files import read_json
from pellucid.recipe.read import is_study

RECIPES = Path(__file__).parents[1] / "recipes" / "studies"
OUT = Path(__file__).with_suffix("")


def main() -> None:
    names = sorted(file.stem for file in RECIPES.glob("*.yaml") if is_study(file))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", default=names, help=f"of {', '.join(names)}")
    parser.add_argument("--runs", default="runs", help="folder of runs")
    parser.add_argument("--workers", type=int, default=2, help="runs side by side, each with one thread")
    arguments = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    for name in arguments.studies:
        spread = ["--set", f"work.workers={arguments.workers}", "--set", "work.threads=1"]
        status = pellucid(["run", str(RECIPES / f"{name}.yaml"), "--runs", arguments.runs, *spread])
        if status:
            sys.exit(status)
        folder = Path(arguments.runs) / name
        shutil.copy(folder / "results" / "study.json", OUT / f"{name}.json")
        shutil.copy(folder / "report" / "index.html", OUT / f"{name}.html")
        cost = read_json(folder / "results" / "study.json")["cost"]
        print(f"{name}: {cost['outcomes']}, {cost['cpu_hours']:.2f} core hours")


if __name__ == "__main__":
    main()
