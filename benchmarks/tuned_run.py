"""Keep the figures of a finished run's tuning stages: times, held-out figures before, during and after, answers, self-knowledge.

make demo && python benchmarks/tuned_run.py --run runs/pocket
python benchmarks/tuned_run.py --run runs/smollm2-tune
"""

import argparse
from pathlib import Path
from typing import Any

from pocket_run import stage_seconds

from pellucid.core.artifacts import read_manifest
from pellucid.core.files import read_json, write_json
from pellucid.core.metrics import read_metrics
from pellucid.recipe.load import load_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="default: tuned_NAME.json beside this file")
    arguments = parser.parse_args()
    run = arguments.run
    stages = [stage for stage in load_recipe(run / "recipe.resolved.yaml").recipe.train if not stage.learns_from_text]
    manifest = read_manifest(run / stages[-1].name)
    result = {
        "command": f"pellucid run recipes/{run.name}.yaml && python benchmarks/tuned_run.py --run runs/{run.name}",
        "code_version": manifest.code_version,
        "environment": manifest.environment,
        "stage_seconds": stage_seconds(run),
        "stages": {stage.name: figures(run / stage.name) for stage in stages},
    }
    out = arguments.out or Path(__file__).with_name(f"tuned_{run.name.replace('-', '_')}.json")
    write_json(out, result)
    print(f"{out.name}: {', '.join(result['stages'])}")


def figures(stage: Path) -> dict[str, Any]:
    """Return what a stage wrote about itself."""
    steps = [record for record in read_metrics(stage / "metrics.jsonl") if "step_tokens" in record]
    told = {
        "config": read_manifest(stage).config,
        "steps": len(steps),
        "tokens": steps[-1]["tokens"],
        "heldout": list(read_metrics(stage / "heldout.jsonl")),
    }
    if samples := list(read_metrics(stage / "samples.jsonl")):
        told["samples"] = samples
    if (stage / "self_knowledge.json").exists():
        told["self_knowledge"] = read_json(stage / "self_knowledge.json")
    return told


if __name__ == "__main__":
    main()
