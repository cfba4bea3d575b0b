"""What papers on continued pretraining say, held against a study: agrees, contradicts, or cannot be told.

A claim of "most", "little" or "no difference" needs a bound to be tested by: half, and a tenth. A claim that two things are alike
is agreed to only where the whole interval lies within the bound, so that a study too small to see anything agrees with nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pellucid.evals.paired import LEVEL
from pellucid.studies.continued.gap import mean_interval
from pellucid.studies.continued.ways import matched
from pellucid.studies.effects import Metric
from pellucid.studies.results import RunResult

__all__ = ["AGREES", "CANNOT", "CONTRADICTS", "findings_of"]

AGREES, CONTRADICTS, CANNOT = "agrees", "contradicts", "cannot be told"

MOST, LITTLE, FEW_PERCENT = 0.5, 0.1, 0.1
"""Of what is forgotten without replay, of what is learnt without it, and of the stage's tokens."""

_LANGE, _GUO = "Lange et al. 2022, arXiv 2205.13452", "Guo et al. 2024, arXiv 2406.14833"
_GUPTA, _IBRAHIM = "Gupta et al. 2023, arXiv 2308.04014", "Ibrahim et al. 2024, arXiv 2403.08763"

Contrast = Mapping[str, Any]


def findings_of(
    runs: Sequence[RunResult], gaps: Mapping[str, Mapping[str, Any]], contrasts: Sequence[Contrast], metrics: Mapping[str, Metric]
) -> list[dict[str, Any]]:
    """Return the claims that the study has something to say of, each with `claim`, `source`, `printed` (figures of the paper, or
    None), `verdict` and `evidence`.

    `gaps` are those of the plain way by group ("old", "new"); `metrics` are "forgotten", "new_change" and "dip". A row of evidence
    has `what`, `value`, `low`, `high`, `p` (corrected, None where the interval decides), `unit` ("bits per byte" or "share").
    """
    of_cause = {cause: [row for row in contrasts if row["cause"] == cause] for cause in ("peak", "warm-up", "replay", "text")}
    found = [_dips(gaps["old"]) if "old" in gaps else None, _new_dips(gaps["new"]) if "new" in gaps else None]
    found += [_peak(of_cause["peak"], "forgotten", 1, "forgets more of the old text")]
    found += [_peak(of_cause["peak"], "new_change", -1, "learns more of the new text")]
    found += [_length(runs, of_cause["warm-up"], metrics), *_replay(runs, of_cause["replay"], metrics)]
    for row in of_cause["text"]:
        found += [_remedy(row, "dip", "shrinks the dip of old text"), _remedy(row, "new_change", "learns more of the new text")]
    return [one for one in found if one is not None]


def _claim(
    claim: str, source: str, verdict: str, evidence: Sequence[Mapping[str, Any]], printed: str | None = None
) -> dict[str, Any]:
    return {"claim": claim, "source": source, "printed": printed, "verdict": verdict, "evidence": [dict(row) for row in evidence]}


def _evidence(what: str, spread: Mapping[str, Any], unit: str = "bits per byte") -> dict[str, Any]:
    value = spread["mean"] if "mean" in spread else spread["difference"]
    return {"what": what, "value": value, "low": spread["low"], "high": spread["high"], "p": spread.get("p_holm"), "unit": unit}


def _dips(gap: Mapping[str, Any]) -> dict[str, Any]:
    dips, recovers = gap["dip_verdict"], gap["recovery_verdict"]
    if dips == "does not dip" or recovers == "does not come back":
        verdict = CONTRADICTS
    else:
        verdict = AGREES if recovers in ("comes back", "comes part of the way back") else CANNOT
    evidence = [_evidence("dip of old text, plain way", gap["dip"]), _evidence("of that regained by the end", gap["regained"])]
    text = "old text falls back when the new text begins, then comes at least part of the way back while training goes on"
    return _claim(text, f"{_LANGE}; {_GUO}", verdict, evidence, "of tasks' accuracy, not of bits per byte")


def _new_dips(gap: Mapping[str, Any]) -> dict[str, Any]:
    verdict = {"dips": AGREES, "does not dip": CONTRADICTS}.get(gap["dip_verdict"], CANNOT)
    evidence = [_evidence("dip of new text, plain way", gap["dip"])]
    return _claim(
        "re-warming first makes the new text worse as well", _GUPTA, verdict, evidence, "the Pile, then SlimPajama: near corpora"
    )


def _directed(rows: Sequence[Contrast], metric: str, sign: int) -> str:
    """Return the verdict of differences that all should have a sign: one that is told to have the other contradicts."""
    told = [row[metric]["difference"] * sign for row in rows if row[metric]["p_holm"] is not None and row[metric]["p_holm"] < LEVEL]
    return CONTRADICTS if any(value < 0 for value in told) else AGREES if told else CANNOT


def _peak(rows: Sequence[Contrast], metric: str, sign: int, does: str) -> dict[str, Any] | None:
    if not rows:
        return None
    evidence = [_evidence(_against(row), _signed(row[metric], metric)) for row in rows]
    claim = f"re-warming to a higher peak {does}"
    return _claim(claim, f"{_GUPTA}; {_IBRAHIM}", _directed(rows, metric, sign), evidence)


def _against(row: Contrast) -> str:
    also = f" ({' and '.join(row['also'])} differ{'s' if len(row['also']) == 1 else ''} too)" if row["also"] else ""
    return f"{row['other']} against {row['one']}{also}"


def _signed(effect: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """Return an effect as more learnt where it is one on the change of new text, of which less is better."""
    if metric != "new_change" or effect["difference"] is None:
        return dict(effect)
    ends = {"low": None, "high": None} if effect["low"] is None else {"low": -effect["high"], "high": -effect["low"]}
    return {**effect, "difference": -effect["difference"], **ends}


def _length(runs: Sequence[RunResult], rows: Sequence[Contrast], metrics: Mapping[str, Metric]) -> dict[str, Any] | None:
    if not rows:
        return None
    evidence, verdicts = [], []
    for row in rows:
        for name, word in (("forgotten", "forgotten"), ("new_change", "learnt")):
            change = _ratio(runs, row, metrics[name], lambda ratio: ratio - 1)
            verdicts.append(_within(change))
            evidence.append(_evidence(f"{word} with {row['other']}, more or less than with {row['one']}", change, "share"))
    verdict = CONTRADICTS if CONTRADICTS in verdicts else AGREES if set(verdicts) == {AGREES} else CANNOT
    claim = f"how long re-warming takes makes no difference in the end (none above {100 * LITTLE:.0f} %)"
    return _claim(claim, _GUPTA, verdict, evidence, "0 to 2 % of the tokens")


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
            _evidence(f"not forgotten of what {row['one']} forgets, with {row['other']}", one, "share")
            for row, one in zip(few, kept, strict=True)
        ]
        claim = f"replay of a few percent keeps most of what is forgotten without (more than {100 * MOST:.0f} %)"
        found.append(_claim(claim, _IBRAHIM, _all_above(kept, MOST), evidence, "5 % for a weak shift; 25 % from English to German"))
    if from_nothing:
        saved = [_ratio(runs, row, metrics["new_change"], lambda ratio: ratio) for row in from_nothing]
        evidence = [
            _evidence(f"learnt with {row['other']}, of what {row['one']} learns", one, "share")
            for row, one in zip(from_nothing, saved, strict=True)
        ]
        claim = f"replay costs the new text little at the same tokens in all (less than {100 * LITTLE:.0f} % of what is learnt)"
        found.append(_claim(claim, _IBRAHIM, _all_above(saved, 1 - LITTLE), evidence))
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


def _remedy(row: Contrast, metric: str, does: str) -> dict[str, Any]:
    evidence = [_evidence(_against(row), _signed(row[metric], metric))]
    return _claim(f"the choice of text of {row['other']!r} {does}", _GUO, _directed([row], metric, -1), evidence)
