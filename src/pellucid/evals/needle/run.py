"""The suite: every cell of the grid asked, scored by its key facts, and by a judge where there is one (Stable LM 2, Fig. 5)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from pellucid.core.errors import DataError, UsageError
from pellucid.core.progress import ProgressBar, progress
from pellucid.core.seeds import derive_seed
from pellucid.evals.endpoint.parallel import at_once
from pellucid.evals.needle.gauge import Gauge, ask, gauge
from pellucid.evals.needle.grid import Cell, Grid, choose_grid, mean_and_deviation
from pellucid.evals.needle.haystack import Haystack, load_haystack
from pellucid.evals.needle.judged import JUDGED, judge_answers, judge_facts
from pellucid.evals.needle.needles import Needle, draw_needles, score
from pellucid.evals.needle.placing import Buried, Plot
from pellucid.evals.needle.prompts import RATING, decoding, frame
from pellucid.evals.results import Record, Records, prompt_digest
from pellucid.evals.subject import Answer, Setting, Subject
from pellucid.recipe.suites import NeedleConfig

__all__ = ["TASK", "run"]

TASK = "needle"
_AT_ONCE = 32  # prompts asked before their records are written
_LOOKED_UP = "needle and question"
_NOT_LOOKED_UP = "nothing: needles are drawn for this test, so that only their frame could stand in training text"
_CHARACTERS_PER_TOKEN = 16  # more text than this is not looked at for a prompt


def run(subject: Subject, config: NeedleConfig, setting: Setting, records: Records) -> Mapping[str, Any]:
    """Score the cells that `records` does not hold; return the grid's tables, the haystack's digest and what was left out.

    A length that has no room in the model's context, together with the answer, is left out and counted, and so is one that has no
    room for the question. Raises `UsageError` where no length is left, and `DataError` where the haystack is too short.
    """
    trial = _Trial.begin(subject, config, setting)
    cells = trial.grid.chosen(setting.seed, setting.limit)
    pending = [cell for cell in cells if not records.has(TASK, cell.item)]
    with progress("needle", total=len(cells), unit="answers") as bar:
        bar.resume_at(len(cells) - len(pending))
        for seed, group in groupby(pending, key=lambda cell: cell.seed):
            for record in trial.ask(seed, list(group), bar):
                records.add(record)
    answered = [found for cell in cells if (found := records.get(TASK, cell.item)) is not None]
    if setting.judge is not None:
        judge_answers(setting, config, answered, records)
    return trial.facts(answered, records)


@dataclass(frozen=True)
class _Trial:
    """One model before one grid."""

    gauge: Gauge
    config: NeedleConfig
    setting: Setting
    haystack: Haystack
    grid: Grid
    left_out: Sequence[Mapping[str, Any]]

    @classmethod
    def begin(cls, subject: Subject, config: NeedleConfig, setting: Setting) -> "_Trial":
        """Find out how the model is asked, and which lengths there is room for."""
        haystack = load_haystack(config.haystack, Path.cwd())
        if config.needle is not None and any(config.needle in text for text in haystack.texts.values()):
            raise UsageError(f"needle.needle: the haystack holds {config.needle!r} already; hide another sentence")
        measured = gauge(subject, config.style, haystack.ordered(setting.seed, 0))
        room = None
        if subject.context_tokens is not None:
            room = subject.context_tokens - measured.around_tokens - config.max_new_tokens
        grid = choose_grid(config, room)
        trial = cls(measured, config, setting, haystack, grid, ())
        least = max(trial._plot(seed)[0].least(measured.count) for seed in range(grid.seeds))
        left_out = [
            {"length": length, "items": len(grid.depths) * grid.seeds, "reason": reason}
            for length in grid.lengths
            if (reason := _no_room(length, room, least)) is not None
        ]
        gone = {entry["length"] for entry in left_out}
        lengths = [length for length in grid.lengths if length not in gone]
        if not lengths:
            raise UsageError(
                f"needle.lengths: none of {', '.join(map(str, grid.lengths))} tokens is possible with {subject.label}: question "
                f"and needle take {least}, and the context of {subject.context_tokens} leaves {room} beside an answer of "
                f"{config.max_new_tokens} (needle.max_new_tokens); choose lengths between, or shorter answers"
            )
        return cls(measured, config, setting, haystack, grid.only(lengths), left_out)

    def ask(self, seed: int, cells: Sequence[Cell], bar: ProgressBar) -> Iterator[Record]:
        """Yield the records of a seed's cells, some at a time.

        Sorted prompts share as much of their beginning with their neighbours as can be. Where no sentence begins between two depths
        their prompts are the same, and asked once.
        """
        plot, needle = self._plot(seed)
        same: dict[str, list[tuple[Cell, Buried]]] = {}
        guess: dict[int, int] = {}
        for cell in cells:
            buried = self._bury(plot, cell, guess.get(cell.length) or self.gauge.guess(cell.length))
            guess[cell.length] = buried.characters
            same.setdefault(buried.prompt, []).append((cell, buried))
        prompts = sorted(same)
        how = decoding(self.gauge.style, self.config.max_new_tokens)
        step = at_once(self.gauge.subject, _AT_ONCE)
        for begin in range(0, len(prompts), step):
            asked = prompts[begin : begin + step]
            each = sum(len(same[prompt]) for prompt in asked) / len(asked)
            answers = ask(self.gauge.subject, self.gauge.style, asked, how, bar.parts(each))
            for prompt, answer in zip(asked, answers, strict=True):
                for cell, buried in same[prompt]:
                    yield self._record(cell, buried, needle, answer)

    def facts(self, answered: Sequence[Record], records: Records) -> dict[str, Any]:
        """Return what the result says beside the tables of items."""
        tables = {
            name: mean_and_deviation(self.grid, {record.item: record.scores[name] for record in answered}, (0.0, 1.0))
            for name in ("exact", "recall")
        }
        judged = [record for one in answered if (record := records.get(JUDGED, one.item)) is not None]
        rated = {record.item: record.scores["judge"] for record in judged if record.scores}
        if rated:
            tables["judge"] = mean_and_deviation(self.grid, rated, RATING)
        per_token = self.gauge.characters_per_token
        return {
            "style": self.gauge.style,
            "lengths": list(self.grid.lengths),
            "depths_percent": list(self.grid.depths),
            "seeds": self.grid.seeds,
            "tables": tables,
            "left_out": [dict(entry) for entry in self.left_out],
            "tokens": "counted" if per_token is None else f"estimated: {per_token:.2f} characters a token",
            "around_tokens": self.gauge.around_tokens,
            "prompt_tokens": _ranges(answered),
            "prompts": len({record.prompt for record in answered}),
            "cut_answers": sum(record.details["stopped_by"] != "stop" for record in answered),
            "haystack": self.haystack.facts,
            "haystack_holds_answer": self._holds_answer(),
            "looked_up_in_training_text": _LOOKED_UP if self._own() else _NOT_LOOKED_UP,
            "judge": judge_facts(self.setting, answered, judged),
        }

    def _plot(self, seed: int) -> tuple[Plot, Needle]:
        """Return the haystack of a seed with its needle."""
        text = self.haystack.ordered(self.setting.seed, seed)
        own = self._own()
        needle, others = (own, ()) if own else draw_needles(self.setting.seed, seed, self.config.distractors, text)
        text = text[: _CHARACTERS_PER_TOKEN * max(self.grid.lengths)]
        shares = [derive_seed(self.setting.seed, "distractor", seed, number) / 2**63 for number in range(len(others))]
        around = frame(self.gauge.style, needle.question)
        return Plot(text, around, needle.sentence, list(zip(shares, others, strict=True))), needle

    def _own(self) -> Needle | None:
        own = self.config
        if own.needle is None or own.question is None or own.answer is None:
            return None
        return Needle(own.needle, own.question, own.answer)

    def _holds_answer(self) -> bool:
        """Tell whether a text of the haystack has all key facts of the user's own needle, so that it may answer without it."""
        needle = self._own()
        return needle is not None and any(score(text, needle.facts)["exact"] == 1 for text in self.haystack.texts.values())

    def _bury(self, plot: Plot, cell: Cell, guess: int | None) -> Buried:
        buried = plot.bury(cell.length, cell.depth / 100, self.gauge.count, guess)
        if buried is None:
            facts = self.haystack.facts
            raise DataError(
                f"needle.haystack: {facts['source']} has {facts['characters']} characters, too few for a prompt of {cell.length} "
                "tokens; give more text, or leave the length out of needle.lengths"
            )
        return buried

    def _record(self, cell: Cell, buried: Buried, needle: Needle, answer: Answer) -> Record:
        details = {
            "answer": answer.text,
            "needle": needle.sentence,
            "question": needle.question,
            "facts": list(needle.facts),
            "depth_percent": cell.depth,
            "place_percent": round(100 * buried.place, 2),
            "tokens": buried.tokens,
            "prompt_tokens": answer.prompt_tokens,
            "stopped_by": answer.stopped_by,
        }
        return Record(
            task=TASK,
            item=cell.item,
            scores=score(answer.text, needle.facts),
            prompt=prompt_digest(self.gauge.style, buried.prompt),
            group=str(cell.length),
            dropped_tokens=answer.dropped_tokens,
            text={"question": needle.question, "answer": needle.sentence} if self._own() is not None else "",
            details=details,
        )


def _no_room(length: int, room: int | None, least: int) -> str | None:
    if room is not None and length > room:
        return f"the context has room for {room} tokens beside the answer"
    if length <= least:
        return f"question and needle alone take {least} tokens"
    return None


def _ranges(answered: Iterable[Record]) -> dict[str, list[int]]:
    """Return, by length, the least and the greatest number of tokens that the model says it read."""
    found: dict[str, list[int]] = {}
    for record in answered:
        found.setdefault(record.group or "", []).append(record.details["prompt_tokens"])
    return {length: [min(tokens), max(tokens)] for length, tokens in found.items()}
