"""What papers on continued pretraining say, held against a study: agrees, contradicts, cannot be told, or not comparable.

A claim of "most", "little" or "no difference" needs a bound to be tested by: half, and a tenth. A claim that two things are alike
is agreed to only where the whole interval lies within the bound, so that a study too small to see anything agrees with nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pellucid.recipe.study import ContinuedAnalysis
from pellucid.studies.continued.choices import choice_findings
from pellucid.studies.continued.claims import (
    AGREES,
    CANNOT,
    CONTRADICTS,
    NOT_COMPARABLE,
    Contrast,
    against,
    claim_of,
    directed,
    evidence_of,
    more,
)
from pellucid.studies.continued.gap import mean_interval
from pellucid.studies.continued.ways import matched
from pellucid.studies.effects import Metric
from pellucid.studies.results import RunResult

__all__ = ["findings_of"]

MOST, LITTLE, FEW_PERCENT = 0.5, 0.1, 0.1
"""Of what is forgotten without replay, of what is learnt without it, and of the stage's tokens."""

NEAR = 1.5
"""New text is near the old where the old model's bits per byte of it are at most so many times those of the old."""

_LANGE, _GUO = "Lange et al. 2022, arXiv 2205.13452", "Guo et al. 2024, arXiv 2406.14833"
_GUPTA, _IBRAHIM = "Gupta et al. 2023, arXiv 2308.04014", "Ibrahim et al. 2024, arXiv 2403.08763"


def findings_of(
    runs: Sequence[RunResult],
    gaps: Mapping[str, Mapping[str, Any]],
    contrasts: Sequence[Contrast],
    metrics: Mapping[str, Metric],
    config: ContinuedAnalysis,
) -> list[dict[str, Any]]:
    """Return the claims that the study has something to say of, each with `claim`, `source`, `printed` (figures of the paper, or
    None), `verdict` and `evidence`.

    `gaps` are those of the plain way by group ("old", "new"); `metrics` are "forgotten", "new_change" and "recovery". A row of
    evidence has `what`, `value`, `low`, `high`, `p` (corrected, None where the interval decides) and `unit` ("bits per byte",
    "share" or "tokens"). The verdict is "agrees", "contradicts", "cannot be told", or "not comparable", where what was done is
    another thing than the claim is of.
    """
    of_cause = {cause: [row for row in contrasts if row["cause"] == cause] for cause in ("peak", "warm-up", "replay", "text")}
    found = [_dips(gaps["old"]) if "old" in gaps else None, _new_dips(gaps) if "new" in gaps else None]
    found += [_peak(of_cause["peak"], "forgotten", 1, "forgets more of the old text")]
    found += [_peak(of_cause["peak"], "new_change", -1, "learns more of the new text")]
    found += [_length(runs, of_cause["warm-up"], metrics), *_replay(runs, of_cause["replay"], metrics)]
    found += choice_findings(runs, of_cause["text"], config, metrics["recovery"])
    return [one for one in found if one is not None]


def _dips(gap: Mapping[str, Any]) -> dict[str, Any]:
    told = {"falls and returns": AGREES, "only forgets": CONTRADICTS, "does not fall": CONTRADICTS}
    verdict = told.get(gap["gap_verdict"], CANNOT)
    evidence = [evidence_of("dip of old text, plain way", gap["dip"]), evidence_of("of that regained by the end", gap["regained"])]
    text = "old text falls back when the new text begins, then comes at least part of the way back while training goes on"
    return claim_of(text, f"{_LANGE}; {_GUO}", verdict, evidence, "of tasks' accuracy, not of bits per byte")


def _new_dips(gaps: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    gap, old = gaps["new"], gaps.get("old")
    verdict = {"dips": AGREES, "does not dip": CONTRADICTS}.get(gap["dip_verdict"], CANNOT)
    evidence = [evidence_of("dip of new text, plain way", gap["dip"])]
    if old is not None and gap["start"]["mean"] > NEAR * old["start"]["mean"]:
        verdict = NOT_COMPARABLE
        evidence = [
            evidence_of("new text at the start", gap["start"]),
            evidence_of(f"old text at the start (near is at most {NEAR:g} times as many)", old["start"]),
            *evidence,
        ]
    return claim_of(
        "re-warming first makes the new text worse as well", _GUPTA, verdict, evidence, "the Pile, then SlimPajama: near corpora"
    )


def _peak(rows: Sequence[Contrast], metric: str, sign: int, does: str) -> dict[str, Any] | None:
    if not rows:
        return None
    evidence = [evidence_of(against(row), more(row[metric]) if metric == "new_change" else row[metric]) for row in rows]
    claim = f"re-warming to a higher peak {does}"
    return claim_of(claim, f"{_GUPTA}; {_IBRAHIM}", directed([row[metric] for row in rows], sign), evidence)


def _length(runs: Sequence[RunResult], rows: Sequence[Contrast], metrics: Mapping[str, Metric]) -> dict[str, Any] | None:
    if not rows:
        return None
    evidence, verdicts = [], []
    for row in rows:
        for name, word in (("forgotten", "forgotten"), ("new_change", "learnt")):
            change = _ratio(runs, row, metrics[name], lambda ratio: ratio - 1)
            verdicts.append(_within(change))
            evidence.append(evidence_of(f"{word} with {row['other']}, more or less than with {row['one']}", change, "share"))
    verdict = CONTRADICTS if CONTRADICTS in verdicts else AGREES if set(verdicts) == {AGREES} else CANNOT
    claim = f"how long re-warming takes makes no difference in the end (none above {100 * LITTLE:.0f} %)"
    return claim_of(claim, _GUPTA, verdict, evidence, "0 to 2 % of the tokens")


def _within(spread: Mapping[str, Any]) -> str:
    if spread["low"] is None:
        return CANNOT
    if spread["low"] > LITTLE or spread["high"] < -LITTLE:
        return CONTRADICTS
    return AGREES if spread["low"] >= -LITTLE and spread["high"] <= LITTLE else CANNOT


def _replay(runs: Sequence[RunResult], rows: Sequence[Contrast], metrics: Mapping[str, Metric]) -> list[dict[str, Any]]:
    from_nothing = [row for row in rows if row["one_value"] == 0]
    few = [row for row in from_nothing if row["other_value"] <= FEW_PERCENT]
    found = []
    if few:
        kept = [_ratio(runs, row, metrics["forgotten"], lambda ratio: 1 - ratio) for row in few]
        evidence = [
            evidence_of(f"not forgotten of what {row['one']} forgets, with {row['other']}", one, "share")
            for row, one in zip(few, kept, strict=True)
        ]
        claim = f"replay of a few percent keeps most of what is forgotten without (more than {100 * MOST:.0f} %)"
        found.append(
            claim_of(claim, _IBRAHIM, _all_above(kept, MOST), evidence, "5 % for a weak shift; 25 % from English to German")
        )
    if from_nothing:
        saved = [_ratio(runs, row, metrics["new_change"], lambda ratio: ratio) for row in from_nothing]
        evidence = [
            evidence_of(f"learnt with {row['other']}, of what {row['one']} learns", one, "share")
            for row, one in zip(from_nothing, saved, strict=True)
        ]
        claim = f"replay costs the new text little at the same tokens in all (less than {100 * LITTLE:.0f} % of what is learnt)"
        found.append(claim_of(claim, _IBRAHIM, _all_above(saved, 1 - LITTLE), evidence))
    return found


def _all_above(spreads: Sequence[Mapping[str, Any]], bound: float) -> str:
    if any(spread["high"] is not None and spread["high"] < bound for spread in spreads):
        return CONTRADICTS
    return AGREES if all(spread["low"] is not None and spread["low"] > bound for spread in spreads) else CANNOT


def _ratio(runs: Sequence[RunResult], row: Contrast, metric: Metric, of: Callable[[float], float]) -> dict[str, Any]:
    """Return a function of other/one as an interval over matched runs; nothing where what is divided by has no one sign."""
    pairs = [(metric(one), metric(other)) for one, other in matched(runs, row["axis"], row["one"], row["other"])]
    usable = len({one > 0 for one, _ in pairs}) == 1 and all(one != 0 for one, _ in pairs)
    return mean_interval([of(other / one) for one, other in pairs] if usable else [])
