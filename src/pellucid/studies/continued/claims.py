"""Claims of papers, held against a study: their verdicts, and the evidence that is shown with them."""

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.evals.paired import LEVEL

__all__ = [
    "AGREES",
    "CANNOT",
    "CONTRADICTS",
    "NOT_COMPARABLE",
    "Contrast",
    "against",
    "claim_of",
    "directed",
    "evidence_of",
    "more",
]

AGREES, CONTRADICTS, CANNOT = "agrees", "contradicts", "cannot be told"
NOT_COMPARABLE = "not comparable"
"""What was done here is another thing than the claim is of, however sure its outcome is."""

Contrast = Mapping[str, Any]


def claim_of(
    claim: str, source: str, verdict: str, evidence: Sequence[Mapping[str, Any]], printed: str | None = None
) -> dict[str, Any]:
    """Return a claim as `findings` has it."""
    return {"claim": claim, "source": source, "printed": printed, "verdict": verdict, "evidence": [dict(row) for row in evidence]}


def evidence_of(what: str, spread: Mapping[str, Any], unit: str = "bits per byte") -> dict[str, Any]:
    """Return a row of evidence from a mean over runs or from a difference."""
    value = spread["difference"] if "difference" in spread else spread["mean"]
    return {"what": what, "value": value, "low": spread["low"], "high": spread["high"], "p": spread.get("p_holm"), "unit": unit}


def directed(effects: Sequence[Mapping[str, Any]], sign: int) -> str:
    """Return the verdict of differences that all should have a sign: one that is told to have the other contradicts."""
    told = [effect["difference"] * sign for effect in effects if effect["p_holm"] is not None and effect["p_holm"] < LEVEL]
    return CONTRADICTS if any(value < 0 for value in told) else AGREES if told else CANNOT


def against(row: Contrast) -> str:
    """Return what is compared with what, and what differs besides the cause."""
    also = f" ({' and '.join(row['also'])} differ{'s' if len(row['also']) == 1 else ''} too)" if row["also"] else ""
    return f"{row['other']} against {row['one']}{also}"


def more(effect: Mapping[str, Any]) -> dict[str, Any]:
    """Return an effect on a score of which less is better as more learnt, its interval turned round."""
    if effect["difference"] is None:
        return dict(effect)
    ends = {"low": None, "high": None} if effect["low"] is None else {"low": -effect["high"], "high": -effect["low"]}
    return {**effect, "difference": -effect["difference"], **ends}
