"""Keep the figures of a finished pocket run: scores beside baselines, time of each stage, size, and the figure of the README.

make demo && python benchmarks/pocket_run.py
"""

import argparse
from collections import defaultdict
from pathlib import Path

from pellucid.core.artifacts import read_manifest
from pellucid.core.attempts import read_attempts
from pellucid.core.files import read_json, write_json
from pellucid.core.metrics import read_metrics
from pellucid.report.blocks import Figure
from pellucid.report.drawings import standalone
from pellucid.report.figures import bars
from pellucid.report.sections import LANGUAGES

ROOT = Path(__file__).parents[1]


def stage_seconds(run: Path) -> dict[str, float]:
    """Return the seconds that each stage of a run took, all attempts at it together."""
    seconds: dict[str, float] = defaultdict(float)
    for attempt in read_attempts(run):
        seconds[attempt.stage] += attempt.seconds
    return {name: round(value, 1) for name, value in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=ROOT / "runs" / "pocket")
    run = parser.parse_args().run
    scores = read_json(run / "scores" / "heldout.json")
    seconds = stage_seconds(run)
    steps = [record for record in read_metrics(run / "pretrain" / "metrics.jsonl") if "event" not in record]
    rates = sorted(record["tokens_per_s"] for record in steps)
    training = read_manifest(run / "pretrain")
    result = {
        "command": "make demo && python benchmarks/pocket_run.py",
        "code": training.code_version,
        "environment": training.environment,
        "config": training.config,
        "bits_per_byte": scores["bits_per_byte"],
        "window": scores["window"],
        "baselines": scores["baselines"],
        "stage_seconds": seconds,
        "training": {
            "tokens": steps[-1]["tokens"],
            "steps": steps[-1]["step"],
            "tokens_per_s": {"p10": rates[len(rates) // 10], "median": rates[len(rates) // 2], "p90": rates[len(rates) * 9 // 10]},
            "peak_memory_bytes": max(record["memory_bytes"] for record in steps),
            "last_loss_mean_of_20": sum(record["loss"] for record in steps[-20:]) / 20,
        },
        "exports": read_json(run / "exports" / "export.json")["formats"],
    }
    write_json(ROOT / "benchmarks" / "pocket_run.json", result)
    rows = scores["bits_per_byte"]["by_language"]
    series = {"Pellucid's pocket model": "model", "xz -9": "xz", "5-gram (Kneser-Ney)": "ngram"}
    drawing = bars(
        [LANGUAGES[name] for name in rows],
        {label: [row[key] for row in rows.values()] for label, key in series.items()},
        "bits per byte",
    )
    figure = Figure(drawing, "Held-out bits per byte by language; lower is better.", "scores/heldout.json")
    (ROOT / "docs" / "heldout.svg").write_text(standalone(figure))
    print(f"{scores['bits_per_byte']['total']['model']:.3f} bits per byte; {sum(seconds.values()):.0f} s in all")


if __name__ == "__main__":
    main()
