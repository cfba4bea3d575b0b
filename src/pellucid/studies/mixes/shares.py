"""What a run's text was made of: shares of sources, and of what sources are put together by."""

import math
from collections.abc import Callable, Mapping, Sequence

from pellucid.plan.printed_mixes import printed_mixes
from pellucid.studies.results import RunResult, by_level

__all__ = ["NO_ROW", "knows_sources", "label_by", "level_shares", "source_shares"]

NO_ROW = "no row"
"""Of sources that Table 9 of the Stable LM 2 report has no row for."""

Label = Callable[[str], str]
"""What a source is put under."""


def source_shares(run: RunResult) -> dict[str, float]:
    """Return the share of each source in all text that a run was trained on, its stages by their tokens."""
    lengths = {stage.name: stage.steps_planned * stage.batch_tokens for stage in run.stages if stage.name in run.weights}
    # Without any length (a run read from a plan) stages count alike.
    sizes = lengths if sum(lengths.values()) else dict.fromkeys(run.weights, 1)
    found: dict[str, float] = {}
    for stage, size in sizes.items():
        weights = run.weights[stage]
        total = math.fsum(weights.values())
        for name, weight in weights.items():
            found[name] = found.get(name, 0.0) + size * weight / total / sum(sizes.values()) if total else 0.0
    return found


def knows_sources(runs: Sequence[RunResult]) -> bool:
    """Tell whether it is known of every run what it has read, and of these sources category and language."""
    shares = [(run.sources, source_shares(run)) for run in runs]
    return bool(runs) and all(
        any(of.values()) and all(name in known for name, share in of.items() if share > 0) for known, of in shares
    )


def label_by(sources: Mapping[str, Mapping[str, str | None]], by: str) -> Label:
    """Return what puts a source under its `source`, `category`, `language`, `row` of Table 9, or `kind`.

    Kinds are Code, other text in English, and text of other languages: the least that mixes of the report differ by.
    """

    def label(name: str) -> str:
        of = sources.get(name, {})
        category, language = of.get("category") or "unknown", of.get("language")
        if by == "row":
            return printed_mixes().row_of(category, language) or NO_ROW
        if by == "kind":
            return "Code" if category == "Code" else "English" if language == "en" else "other languages"
        return {"source": name, "category": category, "language": language or "unknown"}[by]

    return label


def level_shares(runs: Sequence[RunResult], axis: str, label: Label) -> dict[str, dict[str, float]]:
    """Return by level the share of each label, the mean over the level's runs that came to their end; labels in one order."""
    levels = {level: [run for run in found if run.is_comparable] for level, found in by_level(runs, axis).items()}
    names: dict[str, None] = {}
    summed: dict[str, dict[str, float]] = {}
    for level, found in levels.items():
        summed[level] = {}
        for run in found:
            for name, share in source_shares(run).items():
                names[label(name)] = None
                summed[level][label(name)] = summed[level].get(label(name), 0.0) + share / len(found)
    return {level: {name: shares.get(name, 0.0) for name in names} for level, shares in summed.items() if levels[level]}
