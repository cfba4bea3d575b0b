"""What a choice of new text does, held against what Guo et al. 2024 (arXiv 2406.14833) say of their three strategies.

A way that leaves sources out is scored on text that it never reads; so what it learns is compared on the sources that both ways
read. A way that replays reads less new text at the same tokens, by construction: of such a choice alone nothing can be told.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.evals.paired import holm
from pellucid.recipe.study import ContinuedAnalysis
from pellucid.studies.continued.claims import CANNOT, Contrast, against, claim_of, directed, evidence_of, more
from pellucid.studies.continued.ways import final_score, matched, setting_of
from pellucid.studies.effects import Metric, effects_of
from pellucid.studies.results import RunResult

__all__ = ["choice_findings", "read_by_both"]

_GUO = "Guo et al. 2024, arXiv 2406.14833"
_PRINTED = "theirs is accuracy of domain tasks"
_NOTHING = {"difference": None, "low": None, "high": None, "p": None}


def choice_findings(
    runs: Sequence[RunResult], rows: Sequence[Contrast], config: ContinuedAnalysis, recovery: Metric
) -> list[dict[str, Any]]:
    """Return two claims for each contrast of text: that it recovers faster, and that it learns the new text better.

    Faster: `recovery`, the tokens until old text is back at its start, where all runs of both ways come back, else nothing is told.
    Better: the final scores of all held-out text of the new sources that both ways read; those of all new text stand beside them.
    p-values are corrected for the contrasts of a claim (Holm). A choice with another share of replay "cannot be told", and why.
    """
    shared = [read_by_both(runs, row, config) for row in rows]
    speeds = _told(runs, rows, [recovery if _all_have(runs, row, recovery) else None for row in rows])
    ends = _told(runs, rows, [final_score(names) if names else None for names in shared])
    wholes = _told(runs, rows, [final_score(config.new) for _ in rows])
    found = []
    for row, names, speed, end, whole in zip(rows, shared, speeds, ends, wholes, strict=True):
        choice, why = f"the choice of text of {row['other']!r}", _replay(runs, row, config)
        text = f"tokens until old text is back at its start, {against(row)}; {_back(runs, row, recovery)}{why}"
        verdict = CANNOT if why else directed([speed], -1)
        found.append(claim_of(f"{choice} recovers faster", _GUO, verdict, [evidence_of(text, speed, "tokens")], _PRINTED))
        text = f"{against(row)}, on the {len(names)} of {len(config.new)} new sources that both read{why}"
        evidence = [evidence_of(text, more(end))]
        if len(names) < len(config.new):
            evidence.append(evidence_of("on all new text, also what only one of them reads", more(whole)))
        verdict = CANNOT if why else directed([end], -1)
        found.append(claim_of(f"{choice} learns the new text better", _GUO, verdict, evidence, _PRINTED))
    return found


def read_by_both(runs: Sequence[RunResult], row: Contrast, config: ContinuedAnalysis) -> tuple[str, ...]:
    """Return the new sources that all runs of both ways read, in the order of the configuration."""
    texts = [setting_of(run, config).text for pair in matched(runs, row["axis"], row["one"], row["other"]) for run in pair]
    return tuple(name for name in config.new if texts and all(name in text for text in texts))


def _told(runs: Sequence[RunResult], rows: Sequence[Contrast], metrics: Sequence[Metric | None]) -> list[Mapping[str, Any]]:
    """Return each contrast's effect by its own metric, corrected for all of them; without a value where it has no metric."""
    effects = [_NOTHING if metric is None else _effect(runs, row, metric) for row, metric in zip(rows, metrics, strict=True)]
    corrected = holm([effect["p"] for effect in effects])
    return [{**effect, "p_holm": p} for effect, p in zip(effects, corrected, strict=True)]


def _effect(runs: Sequence[RunResult], row: Contrast, metric: Metric) -> Mapping[str, Any]:
    levels = effects_of(runs, row["axis"], metric, row["one"])["rows"]
    return next((level for level in levels if level["level"] == row["other"]), _NOTHING)


def _values(runs: Sequence[RunResult], row: Contrast, metric: Metric) -> list[list[float]]:
    pairs = matched(runs, row["axis"], row["one"], row["other"])
    return [[metric(pair[place]) for pair in pairs] for place in (0, 1)]


def _all_have(runs: Sequence[RunResult], row: Contrast, metric: Metric) -> bool:
    return all(math.isfinite(value) for of_way in _values(runs, row, metric) for value in of_way)


def _back(runs: Sequence[RunResult], row: Contrast, recovery: Metric) -> str:
    one, other = (f"{sum(map(math.isfinite, of_way))} of {len(of_way)}" for of_way in _values(runs, row, recovery))
    return f"{other} and {one} runs come back"


def _replay(runs: Sequence[RunResult], row: Contrast, config: ContinuedAnalysis) -> str:
    """Return why nothing is told of text alone; nothing where the share of old text is the same."""
    if "replay" not in row["also"]:
        return ""
    pair = matched(runs, row["axis"], row["one"], row["other"])[0]
    one, other = (setting_of(run, config).replay_share or 0.0 for run in pair)
    amount = "less" if other > one else "more"
    return f"; {100 * other:.0f} % of its tokens are old text, {100 * one:.0f} % of {row['one']}'s, so it reads {amount} new text"
