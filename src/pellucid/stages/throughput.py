"""How fast a model's exports are, each in its own program, side by side: prompt and new tokens a second, memory, watts.

Everyone gets the same prompts, the same count of new tokens, the same threads and the same cores. All are open at once, each in a
process of its own, and take turns: whatever else the machine does meets all of them.
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pellucid.core.artifacts import Key, building, fingerprint
from pellucid.core.energy import EnergyMeter, Spent
from pellucid.core.environment import code_version, environment
from pellucid.core.errors import PellucidError, UsageError
from pellucid.core.files import write_json
from pellucid.core.progress import progress
from pellucid.export.probes import certificate_strings
from pellucid.report.throughput import THROUGHPUT
from pellucid.stages.contestant_process import ContestantProcess, Turn
from pellucid.stages.contestant_programs import Contestant, Machine
from pellucid.stages.contestants import HOW, context_of, find_contestants, tokenizer_of
from pellucid.stages.turn_figures import Figures, summary, turn_figures
from pellucid.train.device import DeviceKind, pick_kind

__all__ = ["SCHEMA", "Load", "measure", "write_throughput"]

SCHEMA = 1


@dataclass(frozen=True)
class Load:
    """What everyone is asked. `batches` are how many sequences go on at once; `threads` None: one for each core.

    `device` is where our engine and transformers compute: "auto", a GPU when there is one, "cpu" or "cuda".
    """

    prompt_tokens: int = 256
    new_tokens: int = 64
    batches: tuple[int, ...] = (1, 4)
    rounds: int = 5
    threads: int | None = None
    seed: int = 1
    device: DeviceKind = "auto"

    def __post_init__(self) -> None:
        given = {"--prompt-tokens": self.prompt_tokens, "--new-tokens": self.new_tokens, "--rounds": self.rounds}
        given |= {"--batch": min(self.batches, default=0), "--threads": 1 if self.threads is None else self.threads}
        for name, value in given.items():
            least = 2 if name == "--new-tokens" else 1
            if value < least:
                raise UsageError(f"{name} {value}: must be at least {least}")


def measure(
    paths: Sequence[Path],
    load: Load,
    *,
    served: bool = False,
    only: Sequence[str] = (),
    begin: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Let all that run what lies at `paths` take turns, and return the table as JSON values (see docs/exports.md).

    The first round warms up and is not counted. Who cannot be opened, or fails, is listed with the reason. `only` keeps those whose
    name holds one of these texts, in upper or lower case. `begin` is called once nothing is wrong with the call.

    Raises `UsageError` for a target that is none, for targets that do not read texts alike, for one that is given twice, for a load
    that does not fit, and when nobody is left.
    """
    targets = _targets(paths)
    contestants = _contestants(targets, served, only)
    machine, most = _machine(load), min(map(context_of, paths))
    if machine.context_tokens > most:
        raise UsageError(
            f"--prompt-tokens {load.prompt_tokens} and --new-tokens {load.new_tokens} are {machine.context_tokens} together; "
            f"the model was trained for {most} tokens"
        )
    ids = _ids(paths)
    begin()
    with EnergyMeter() as meter:
        entries = _take_turns(contestants, load, machine, ids, meter)
        energy = {"counters": list(meter.counters), "missing": dict(meter.missing)}
    return {
        "schema": SCHEMA,
        "targets": list(targets),
        "settings": {
            "prompt_tokens": load.prompt_tokens,
            "new_tokens": load.new_tokens,
            "batches": list(load.batches),
            "rounds": load.rounds,
            "seed": load.seed,
            "threads": machine.threads,
            "device": machine.device,
            "cores": None if machine.cores is None else list(machine.cores),
        },
        "energy": energy,
        "contestants": entries,
        "environment": environment(),
        "code_version": code_version(),
    }


def write_throughput(run: Path, found: Mapping[str, Any], energy: Callable[[], Mapping[str, Any]] | None = None) -> Path:
    """Keep what was measured as an artifact of the run, which its report then shows; return the file.

    It lies beside the exports, whose folder is sealed. `energy` is asked for what the measuring took.
    """
    inputs = {"exports": fingerprint(run / "exports")} if (run / "exports" / "manifest.json").is_file() else {}
    key = Key("throughput", SCHEMA, found["settings"]["seed"], found["settings"], inputs)
    with building((run / THROUGHPUT).parent, key, energy=energy) as build:
        write_json(build.path / Path(THROUGHPUT).name, found)
        build.summary["measured"] = sum(one["missing"] is None for one in found["contestants"])
    return run / THROUGHPUT


def _targets(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the targets by name: that of the file or folder, with as many folders above it as tell it from the others."""
    parts = [path.resolve().parts for path in paths]
    for number, own in enumerate(parts):
        if own in parts[:number]:
            raise UsageError(f"{paths[number]} is given twice: name each target once")
    return {_shortest(own, parts): path for own, path in zip(parts, paths, strict=True)}


def _shortest(own: tuple[str, ...], everyone: Sequence[tuple[str, ...]]) -> str:
    # A target that lies above another may have no more folders; then the other's name is the longer one.
    lengths = range(1, len(own) + 1)
    least = next(length for length in lengths if sum(parts[-length:] == own[-length:] for parts in everyone) == 1)
    return Path(*own[-least:]).as_posix()


def _contestants(targets: Mapping[str, Path], served: bool, only: Sequence[str]) -> list[Contestant]:
    found = [one for name, path in targets.items() for one in find_contestants(path, name, served=served)]
    twice = {name for name, times in Counter(one.name for one in found).items() if times > 1}
    found = [replace(one, weights=f"{one.weights} of {one.target}".strip()) if one.name in twice else one for one in found]
    kept = [one for one in found if not only or any(text.lower() in one.name.lower() for text in only)]
    if not any(one.path is not None for one in kept):
        names = ", ".join(one.name for one in found if one.path is not None)
        raise UsageError(f"--only {' '.join(only)}: nobody has such a name; there are {names}")
    return kept


def _ids(paths: Sequence[Path]) -> list[int]:
    """Return the tokens that prompts are cut from. Raises `UsageError` where the targets do not agree on them."""
    text = "\n".join(certificate_strings())
    ids, *others = ([int(id_) for id_ in tokenizer_of(path).encode(text)] for path in paths)
    for path, other in zip(paths[1:], others, strict=True):
        if other != ids:
            raise UsageError(
                f"{path} reads texts into other tokens than {paths[0]}: tokens a second do not compare; measure each by itself"
            )
    return ids


def _machine(load: Load) -> Machine:
    able = hasattr(os, "sched_getaffinity")
    cores = sorted(os.sched_getaffinity(0)) if able else list(range(os.cpu_count() or 1))
    threads = load.threads or len(cores)
    if threads > len(cores):
        raise UsageError(f"--threads {threads}: this process may use {len(cores)} cores")
    # The last cores: what else runs tends to begin at the first.
    pinned = tuple(cores[-threads:]) if able else None
    return Machine(threads, pinned, max(load.batches), load.prompt_tokens + load.new_tokens, pick_kind(load.device))


def _take_turns(
    contestants: Sequence[Contestant], load: Load, machine: Machine, ids: Sequence[int], meter: EnergyMeter
) -> list[dict[str, Any]]:
    """Open everyone, then let each take its turns; return an entry for each, with the figures of the rounds that count."""
    entries = [_entry(one) for one in contestants]
    turns: dict[int, dict[int, list[Figures]]] = {}
    draw = random.Random(load.seed)
    with TemporaryDirectory() as logs, ExitStack() as stack:
        running = _open(contestants, entries, machine, Path(logs), stack)
        with progress("throughput", (load.rounds + 1) * len(load.batches) * len(running), "turns") as bar:
            for round_ in range(load.rounds + 1):
                for batch in load.batches:
                    prompts = _prompts(ids, batch, load.prompt_tokens, draw)
                    for number in list(running):
                        bar.note(f"{entries[number]['name']}, batch {batch}")
                        try:
                            turn, spent = _one_turn(running[number], prompts, load.new_tokens, meter)
                        except PellucidError as error:
                            entries[number]["missing"] = str(error)
                            running.pop(number).close()
                            turns.pop(number, None)
                        else:
                            _remember(entries[number]["memory"], turn)
                            if round_:
                                figures = turn_figures(turn, load.prompt_tokens, spent)
                                turns.setdefault(number, {}).setdefault(batch, []).append(figures)
                        bar.advance()
    for number, by_batch in turns.items():
        entries[number]["batches"] = {str(batch): summary(rounds) for batch, rounds in by_batch.items()}
    return entries


def _open(
    contestants: Sequence[Contestant], entries: Sequence[dict[str, Any]], machine: Machine, logs: Path, stack: ExitStack
) -> dict[int, ContestantProcess]:
    """Return who runs, by place; an entry is told what its program says of itself, or why there is none."""
    running = {}
    with progress("opening", len(contestants), "programs") as bar:
        for number, one in enumerate(contestants):
            bar.note(one.name)
            if one.path is not None:
                try:
                    running[number] = stack.enter_context(ContestantProcess(one, machine, logs / f"{number}.log"))
                    entries[number] |= _told(running[number])
                except PellucidError as error:
                    entries[number]["missing"] = str(error)
            bar.advance()
    return running


def _one_turn(
    process: ContestantProcess, prompts: Sequence[Sequence[int]], new_tokens: int, meter: EnergyMeter
) -> tuple[Turn, Spent]:
    before = meter.read()
    turn = process.turn(prompts, new_tokens)
    return turn, meter.spent(before, meter.read(), turn.seconds)


def _prompts(ids: Sequence[int], batch: int, tokens: int, draw: random.Random) -> list[list[int]]:
    """Return stretches of a text that begin in different places, so that no sequence is spared what another has read."""
    around = [*ids, *ids[:tokens]] if len(ids) >= tokens else list(ids) * (tokens // len(ids) + 2)
    return [around[start : start + tokens] for start in draw.sample(range(len(ids)), batch)]


def _entry(one: Contestant) -> dict[str, Any]:
    return {
        "name": one.name,
        "program": one.program,
        "weights": one.weights,
        "how": HOW[one.program],
        "bytes": one.bytes,
        "version": None,
        "device": None,
        "load_s": None,
        "memory": None,
        "missing": one.missing,
        "batches": {},
    }


def _told(process: ContestantProcess) -> dict[str, Any]:
    opened = process.opened
    memory = {"before_bytes": opened.before_bytes, "peak_bytes": opened.before_bytes, "gpu_peak_bytes": 0}
    return {
        "version": opened.version,
        "device": opened.device,
        "load_s": round(opened.load_s, 3),
        "settings": opened.settings,
        "variables": opened.variables,
        "memory": memory,
    }


def _remember(memory: dict[str, int], turn: Turn) -> None:
    memory["peak_bytes"] = max(memory["peak_bytes"], turn.peak_bytes)
    memory["gpu_peak_bytes"] = max(memory["gpu_peak_bytes"], turn.gpu_peak_bytes)
