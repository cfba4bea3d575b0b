"""How fast a model's exports are, each in its own program, side by side: prompt and new tokens a second, memory, watts.

Everyone gets the same prompts, the same count of new tokens, the same threads and the same cores. All are open at once, each in a
process of its own, and take turns: whatever else the machine does meets all of them.
"""

import os
import random
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pellucid.core.artifacts import Key, building, fingerprint
from pellucid.core.energy import EnergyMeter
from pellucid.core.environment import code_version, environment
from pellucid.core.errors import PellucidError, UsageError
from pellucid.core.files import write_json
from pellucid.core.progress import progress
from pellucid.export.probes import certificate_strings
from pellucid.report.throughput import THROUGHPUT
from pellucid.stages.contestant_process import ContestantProcess, Turn
from pellucid.stages.contestant_programs import Contestant, Machine
from pellucid.stages.contestants import HOW, context_of, find_contestants, tokenizer_of

__all__ = ["SCHEMA", "Load", "measure", "turn_figures", "write_throughput"]

SCHEMA = 1
_SHORTEST_S = 0.5


@dataclass(frozen=True)
class Load:
    """What everyone is asked. `batches` are how many sequences go on at once; `threads` None: one for each core."""

    prompt_tokens: int = 256
    new_tokens: int = 64
    batches: tuple[int, ...] = (1, 4)
    rounds: int = 5
    threads: int | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        given = {"--prompt-tokens": self.prompt_tokens, "--new-tokens": self.new_tokens, "--rounds": self.rounds}
        given |= {"--batch": min(self.batches, default=0), "--threads": 1 if self.threads is None else self.threads}
        for name, value in given.items():
            least = 2 if name == "--new-tokens" else 1
            if value < least:
                raise UsageError(f"{name} {value}: must be at least {least}")


def measure(paths: Sequence[Path], load: Load, *, served: bool = False, only: Sequence[str] = ()) -> dict[str, Any]:
    """Let all that run what lies at `paths` take turns, and return the table as JSON values (see docs/exports.md).

    The first round warms up and is not counted. Who cannot be opened, or fails, is listed with the reason. `only` keeps those whose
    name holds one of these texts, in upper or lower case. Raises `UsageError` for a target that is none, for targets that do not
    read texts alike, for a load that does not fit, and when nobody is left.
    """
    contestants = _contestants(paths, served, only)
    machine, most = _machine(load), min(map(context_of, paths))
    if machine.context_tokens > most:
        raise UsageError(
            f"--prompt-tokens {load.prompt_tokens} and --new-tokens {load.new_tokens} are {machine.context_tokens} together; "
            f"the model was trained for {most} tokens"
        )
    ids = _ids(paths)
    with EnergyMeter() as meter:
        entries, turns = _take_turns(contestants, load, machine, ids, meter)
        energy = {"counters": list(meter.counters), "missing": dict(meter.missing)}
    for name, by_batch in turns.items():
        entries[name]["batches"] = {str(batch): _summary(rounds) for batch, rounds in by_batch.items()}
    return {
        "schema": SCHEMA,
        "targets": [path.resolve().name for path in paths],
        "settings": {
            "prompt_tokens": load.prompt_tokens,
            "new_tokens": load.new_tokens,
            "batches": list(load.batches),
            "rounds": load.rounds,
            "seed": load.seed,
            "threads": machine.threads,
            "cores": None if machine.cores is None else list(machine.cores),
        },
        "energy": energy,
        "contestants": list(entries.values()),
        "environment": environment(),
        "code_version": code_version(),
    }


def write_throughput(run: Path, found: Mapping[str, Any]) -> Path:
    """Keep what was measured as an artifact of the run, which its report then shows; return the file.

    It lies beside the exports, whose folder is sealed.
    """
    inputs = {"exports": fingerprint(run / "exports")} if (run / "exports" / "manifest.json").is_file() else {}
    with building(
        (run / THROUGHPUT).parent, Key("throughput", SCHEMA, found["settings"]["seed"], found["settings"], inputs)
    ) as build:
        write_json(build.path / Path(THROUGHPUT).name, found)
        build.summary["measured"] = sum(one["missing"] is None for one in found["contestants"])
    return run / THROUGHPUT


def turn_figures(turn: Turn, prompt_tokens: int, joules: float | None) -> dict[str, float | None]:
    """Return the figures of one turn. Everything counts from the moment when all prompts were handed over.

    `prompt_tokens_per_s`: the prompts' tokens, less those that were reused, by the time until every sequence has its first new
    token. `decode_tokens_per_s`: the new tokens after that moment and up to the end of the first sequence that ends, by the time
    between (None where the sequences did not overlap). `tokens_per_s`: all new tokens by the whole time. `joules_per_token`: of
    the whole turn, prompts included, by new tokens. `cpu_frac`: processor time of the process, by the time of one core.
    """
    begin, end = max(times[0] for times in turn.at_s), min(times[-1] for times in turn.at_s)
    within = sum(begin < moment <= end for times in turn.at_s for moment in times)
    new = sum(map(len, turn.at_s))
    read = prompt_tokens * len(turn.at_s) - turn.reused_tokens
    # Counters move some ten to a thousand times a second; over a short turn they say nothing.
    counted = joules if joules is not None and joules > 0 and turn.seconds >= _SHORTEST_S else None
    return {
        "prompt_tokens_per_s": read / begin,
        "decode_tokens_per_s": within / (end - begin) if end > begin else None,
        "tokens_per_s": new / max(times[-1] for times in turn.at_s),
        "first_token_s": statistics.median(times[0] for times in turn.at_s),
        "watts": None if counted is None else counted / turn.seconds,
        "joules_per_token": None if counted is None else counted / new,
        "cpu_frac": turn.cpu_s / turn.seconds,
    }


def _contestants(paths: Sequence[Path], served: bool, only: Sequence[str]) -> list[Contestant]:
    found = [one for path in paths for one in find_contestants(path, served=served)]
    twice = {name for name, times in Counter(one.name for one in found).items() if times > 1}
    found = [replace(one, weights=f"{one.weights} of {one.target}") if one.name in twice else one for one in found]
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
    return Machine(threads, tuple(cores[-threads:]) if able else None, max(load.batches), load.prompt_tokens + load.new_tokens)


_Turns = dict[str, dict[int, list[dict[str, float | None]]]]


def _take_turns(
    contestants: Sequence[Contestant], load: Load, machine: Machine, ids: Sequence[int], meter: EnergyMeter
) -> tuple[dict[str, dict[str, Any]], _Turns]:
    """Open everyone, then let each take its turns; return an entry for each, and the figures of the rounds that count."""
    entries: dict[str, dict[str, Any]] = {}
    turns: _Turns = {}
    running: dict[str, ContestantProcess] = {}
    draw = random.Random(load.seed)
    with TemporaryDirectory() as logs, ExitStack() as stack:
        with progress("opening", len(contestants), "programs") as bar:
            for number, one in enumerate(contestants):
                bar.note(one.name)
                entries[one.name] = _entry(one)
                if one.path is not None:
                    try:
                        process = stack.enter_context(ContestantProcess(one, machine, Path(logs) / f"{number}.log"))
                        running[one.name] = process
                        entries[one.name] |= _told(process)
                    except PellucidError as error:
                        entries[one.name]["missing"] = str(error)
                bar.advance()
        with progress("throughput", (load.rounds + 1) * len(load.batches) * len(running), "turns") as bar:
            for round_ in range(load.rounds + 1):
                for batch in load.batches:
                    prompts = _prompts(ids, batch, load.prompt_tokens, draw)
                    for name in list(running):
                        bar.note(f"{name}, batch {batch}")
                        try:
                            turn, joules = _one_turn(running[name], prompts, load.new_tokens, meter)
                        except PellucidError as error:
                            entries[name]["missing"] = str(error)
                            running.pop(name).close()
                            turns.pop(name, None)
                        else:
                            _remember(entries[name]["memory"], turn)
                            if round_:
                                figures = turn_figures(turn, load.prompt_tokens, joules)
                                turns.setdefault(name, {}).setdefault(batch, []).append(figures)
                        bar.advance()
    return entries, turns


def _one_turn(
    process: ContestantProcess, prompts: Sequence[Sequence[int]], new_tokens: int, meter: EnergyMeter
) -> tuple[Turn, float | None]:
    before = meter.read()
    turn = process.turn(prompts, new_tokens)
    after = meter.read()
    return turn, sum(after[name] - before[name] for name in after) if after else None


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
        "load_s": None,
        "memory": None,
        "missing": one.missing,
        "batches": {},
    }


def _told(process: ContestantProcess) -> dict[str, Any]:
    opened = process.opened
    memory = {"before_bytes": opened.before_bytes, "peak_bytes": opened.before_bytes, "gpu_peak_bytes": 0}
    return {"version": opened.version, "load_s": round(opened.load_s, 3), "settings": opened.settings, "memory": memory}


def _remember(memory: dict[str, int], turn: Turn) -> None:
    memory["peak_bytes"] = max(memory["peak_bytes"], turn.peak_bytes)
    memory["gpu_peak_bytes"] = max(memory["gpu_peak_bytes"], turn.gpu_peak_bytes)


def _summary(rounds: Sequence[Mapping[str, float | None]]) -> dict[str, Any]:
    """Return median, least and most of each figure, with every round's; None where a round has none."""
    found: dict[str, Any] = {}
    for name in rounds[0]:
        values = [one[name] for one in rounds]
        found[name] = _spread([value for value in values if value is not None]) if None not in values else None
    return found


def _spread(values: Iterable[float]) -> dict[str, Any]:
    kept = [float(f"{value:.6g}") for value in values]
    return {"median": float(f"{statistics.median(kept):.6g}"), "min": min(kept), "max": max(kept), "rounds": kept}
