"""Bands of near-duplicate detection that cannot work."""

from collections.abc import Iterator

from pellucid.recipe.documents import NearDedupConfig
from pellucid.recipe.problems import Finding
from pellucid.recipe.recipe import Recipe

__all__ = ["near_dedup_bands"]

# A pair that is never compared is never found, however similar.
_LEAST_COMPARED = 0.9


def near_dedup_bands(recipe: Recipe) -> Iterator[Finding]:
    """Bands use the signature up, and documents that are similar enough do meet in one."""
    near = recipe.documents.near_dedup
    if near is None:
        return
    loc = ("documents", "near_dedup", "bands")
    bands, minima, whole = near.bands, near.band_minima, near.permutations
    if bands > whole:
        yield Finding(loc, f"got {bands}; must be at most permutations = {whole}", f"set bands: {whole}")
    elif bands != whole // minima:
        yield Finding(
            loc,
            f"got {bands}; bands of {minima} would leave {whole - bands * minima} of the {whole} minima unused",
            f"nearest: {whole // (minima + 1)} of {minima + 1} minima, or {whole // minima} of {minima}",
        )
    elif (compared := near.compared_frac(near.min_jaccard)) < _LEAST_COMPARED:
        enough = _enough_bands(near)
        yield Finding(
            loc,
            f"got {bands}; only {compared:.1%} of the pairs with min_jaccard = {near.min_jaccard:g} would agree in a band of "
            f"{minima} minima and be compared, must be {_LEAST_COMPARED:.0%}",
            f"set bands: {enough}" if enough else "set more permutations, or a larger min_jaccard",
        )


def _enough_bands(near: NearDedupConfig) -> int | None:
    """Return the fewest bands that compare enough pairs, or None where even bands of one minimum do not."""
    for minima in range(near.band_minima, 0, -1):
        bands = near.permutations // minima
        if near.model_copy(update={"bands": bands}).compared_frac(near.min_jaccard) >= _LEAST_COMPARED:
            return bands
    return None
