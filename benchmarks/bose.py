"""The stability that BOSE buys: Kendall's tau of plain ways of asking and of BOSE's between scores and the order of training.

PELLUCID_SMOLLM2_GGUF=SmolLM2-135M-Instruct.Q4_1.gguf python benchmarks/bose.py --data ../shared/data/bench --run runs/pocket

Two trajectories. The checkpoints that a run has kept of one stage, in their order. And, as few checkpoints of a model that can
answer such questions are at hand, SmolLM2-135M weakened: each matrix W becomes (1 - s) W + s std(W) N, with one N for all strengths
s, from noise that leaves little to none. That is a stand-in for training and no training: noise forgets in another order than
training learns. What it can show is which ways of asking see a difference between models at all, and which of them with few items.
The verdicts are printed whichever way they fall.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from pellucid.checkpoint.weights import is_checkpoint
from pellucid.core.environment import code_version, environment
from pellucid.core.files import sha256_file, write_json
from pellucid.evals.bose.run import run as run_bose
from pellucid.evals.bose.stability import Moment, compare, stability
from pellucid.evals.local import LocalModel
from pellucid.evals.results import Records
from pellucid.evals.subject import Setting
from pellucid.recipe.suites import BoseConfig
from pellucid.stages.subjects import find_target, load_step, open_model

COMPARED = {"blank": ("letter", "option", "option_bytes"), "iclip": ("plain", "shots")}
METRICS = ("acc", "softmax_right")
TEXT = (
    "Plants take up water with their roots and carbon dioxide with their leaves. In the light they make sugar of both, and give off"
    " the oxygen that is left over. At night they breathe as animals do: they burn some sugar and give off carbon dioxide again."
)


def weakened(model: torch.nn.Module, strengths: list[float], seed: int) -> Iterator[float]:
    """Yield each strength while the model has it; all from the same weights and the same noise."""
    own = {name: one.detach().clone() for name, one in model.named_parameters() if one.ndim == 2}
    for strength in strengths:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in own:
                    noise = torch.randn(parameter.shape, generator=generator).to(parameter) * own[name].std()
                    parameter.copy_((1 - strength) * own[name] + strength * noise)
        yield strength


def ask(subject: LocalModel, config: BoseConfig, setting: Setting, position: float) -> tuple[Moment, dict[str, Any]]:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Records(Path(folder) / "items.jsonl") as records:
        facts = run_bose(subject, config, setting, records)
        print(f"  {position:g}: {len(records)} items, {time.monotonic() - started:.0f} s", flush=True)
        return Moment(position, list(records)), dict(facts["tasks"])


def table(moments: list[Moment]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for metric in METRICS:
        rows = stability(moments, metric)
        tasks = {name.rpartition(":")[0] for name in rows}
        found[metric] = {
            "stability": rows,
            "compared": [
                compare(moments, f"{task}:{plain}", f"{task}:{other}", metric)
                for task in sorted(tasks)
                for other, plains in COMPARED.items()
                for plain in plains
                if f"{task}:{plain}" in rows and f"{task}:{other}" in rows
            ],
        }
    return found


def show(name: str, found: dict[str, Any]) -> None:
    print(f"\n{name}")
    for metric in METRICS:
        print(f"  {metric:<28}tau     95 %            half   form σ  scores")
        for task, row in found[metric]["stability"].items():
            spread = "     " if row["form_stdev"] is None else f"{row['form_stdev']:.3f}"
            scores = " ".join(f"{score:.2f}" for score in row["scores"])
            interval = f"{row['low']:5.2f} to {row['high']:5.2f}"
            print(f"  {task:<26}{row['tau']:6.2f}  {interval}  {row['split_half']:6.2f}  {spread}  {scores}")
        for one in found[metric]["compared"]:
            print(
                f"  {one['other']} against {one['plain']}: {one['difference']:+.2f} ({one['low']:+.2f} to {one['high']:+.2f}), "
                f"{one['verdict']}"
            )


def of_noise(file: Path, config: BoseConfig, setting: Setting, strengths: list[float]) -> dict[str, Any]:
    subject = open_model(find_target(file))
    pairs, losses = [], []
    for strength in weakened(subject.model, strengths, setting.seed):
        (loss,) = subject.rolling([TEXT])
        losses.append(loss.nats / loss.tokens)
        pairs.append(ask(subject, config, setting, 1 - strength))
    moments = [moment for moment, _ in pairs]
    return {
        "file": file.name,
        "sha256": sha256_file(file),
        "strengths": strengths,
        "nats_per_token_of_a_paragraph": losses,
        "tasks": pairs[-1][1],
        **table(moments),
    }


def of_run(run: Path, stage: str, config: BoseConfig, setting: Setting) -> dict[str, Any] | None:
    folders = [path for path in sorted((run / stage / "checkpoints").glob("step-*")) if is_checkpoint(path)]
    if len(folders) < 3:
        print(f"{run} keeps {len(folders)} checkpoints of {stage}; three are needed: raise train.keep_checkpoints")
        return None
    pairs = [ask(open_model(find_target(path)), config, setting, float(load_step(path) or 0)) for path in folders]
    steps = [load_step(path) for path in folders]
    return {"run": run.name, "stage": stage, "steps": steps, "tasks": pairs[-1][1], **table([moment for moment, _ in pairs])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with benchmarks, as for pellucid evaluate --data-dir")
    parser.add_argument("--run", type=Path, help="a run that keeps three or more checkpoints")
    parser.add_argument("--stage", default="pretrain")
    parser.add_argument("--items", type=int, default=40, help="of each multiple-choice task")
    parser.add_argument("--open-items", type=int, default=8, help="of arithmetic; 0 leaves open questions out")
    parser.add_argument("--forms", type=int, default=1)
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.22, 0.17, 0.13, 0.1, 0.07, 0.0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    if arguments.data is None:
        sys.exit("--data names no folder with benchmarks")
    setting = Setting(data=str(arguments.data), limit=arguments.items, seed=arguments.seed)
    tasks = ("arc_easy", "openbook_qa")
    closed = BoseConfig(tasks=tasks, forms=arguments.forms)
    record: dict[str, Any] = {
        "what": "Kendall's tau of scores with the order of training, by way of asking",
        "command": "python benchmarks/bose.py " + " ".join(Path(word).name if "/" in word else word for word in sys.argv[1:]),
        "code_version": code_version(),
        "environment": environment(),
        "items": arguments.items,
        "forms": arguments.forms,
    }
    file = Path(os.environ.get("PELLUCID_SMOLLM2_GGUF", ""))
    if file.is_file():
        print("SmolLM2-135M, weakened by noise")
        record["weakened_smollm2"] = of_noise(file, closed, setting, arguments.strengths)
        show("SmolLM2-135M, weakened by noise", record["weakened_smollm2"])
        if arguments.open_items:
            open_ = BoseConfig(tasks=(), open_tasks=("arithmetic",), shots=3, max_new_tokens=64)
            few = Setting(limit=arguments.open_items, seed=arguments.seed)
            record["weakened_smollm2_open"] = of_noise(file, open_, few, arguments.strengths[-4:])
            show("SmolLM2-135M, weakened by noise, open questions", record["weakened_smollm2_open"])
    else:
        print("PELLUCID_SMOLLM2_GGUF names no file: no weakened SmolLM2")
    if arguments.run is not None and (found := of_run(arguments.run, arguments.stage, closed, setting)) is not None:
        record["run"] = found
        show(f"{arguments.run.name}, {arguments.stage}", found)
    write_json(arguments.out, record)


if __name__ == "__main__":
    main()
