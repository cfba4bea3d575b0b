"""The shipped studies, run on the pocket corpus: what each says is kept in benchmarks/studies/ as JSON, with its page.

Each takes less than two core hours. What is finished in the folder of runs is not made again, so a study that was cut off goes on.
Where a law is to forecast runs, those that it is fitted to are made first, and NAME.before.json keeps what the study said then.

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
from pellucid.studies.design import LoadedStudy, load_study

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
        file, folder = RECIPES / f"{name}.yaml", Path(arguments.runs) / name
        options = ["--runs", arguments.runs, "--set", f"work.workers={arguments.workers}", "--set", "work.threads=1"]
        later = _forecast(load_study(file))
        if later and not any((folder / "runs" / one).exists() for one in later):
            first = [run.name for run in load_study(file).runs if run.name not in later]
            _call("run", str(file), *options, *(part for one in first for part in ("--only", one)))
            _call("report", str(file), *options)
            shutil.copy(folder / "results" / "study.json", OUT / f"{name}.before.json")
        _call("run", str(file), *options)
        shutil.copy(folder / "results" / "study.json", OUT / f"{name}.json")
        page = (folder / "report" / "index.html").read_text()
        (OUT / f"{name}.html").write_text(page.replace('href="../results/study.json"', f'href="{name}.json"'))
        cost = read_json(folder / "results" / "study.json")["cost"]
        print(f"{name}: {cost['outcomes']}, {cost['cpu_hours']:.2f} core hours")


def _forecast(study: LoadedStudy) -> list[str]:
    """Return the runs that a law of the study is to forecast."""
    asked = study.config.analyse
    wanted = [] if asked.scaling is None else [(asked.scaling.rung, asked.scaling.forecast)]
    wanted += [] if asked.mixes is None else [(asked.mixes.mix, asked.mixes.forecast)]
    return [run.name for run in study.runs if any(run.levels[axis] in levels for axis, levels in wanted)]


def _call(*arguments: str) -> None:
    status = pellucid(list(arguments))
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
