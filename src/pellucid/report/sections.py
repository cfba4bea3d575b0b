"""The sections of the page, each made from artifacts alone. A section whose artifact is not there yet is left out and said so."""

from collections.abc import Mapping
from typing import Any

from pellucid.core.excerpt import visible
from pellucid.core.units import format_bytes, format_duration
from pellucid.recipe.recipe import Recipe
from pellucid.report import benchmarks
from pellucid.report.blocks import Block, Inline, Section
from pellucid.report.facts import Fact, Facts
from pellucid.report.figures import bars, stacked_share
from pellucid.report.markup import figure, paragraph, sample, section, table
from pellucid.report.throughput import THROUGHPUT

__all__ = [
    *(
        "FUNNEL",
        "LANGUAGES",
        "NO_LANGUAGE",
        "PLAN",
        "SCORES",
        "checkpoint_of",
        "data",
        "decimals",
        "funnel",
        "heldout",
        "languages_of",
        "later_stages",
        "machine",
        "omissions",
        "percent",
        "samples",
        "whole",
    ),
]

PLAN, FUNNEL, SCORES = "plan/plan.json", "documents/funnel.json", "scores/heldout.json"
LANGUAGES = {"de": "German", "en": "English", "es": "Spanish", "fr": "French", "it": "Italian", "nl": "Dutch", "pt": "Portuguese"}

NO_LANGUAGE = frozenset({"", "mul", "und", "zxx"})
"""Codes of no one language: none stated, several, unknown, and texts without words."""


def languages_of(funnel: Mapping[str, Any]) -> list[str]:
    """Return the codes of the languages of `documents/funnel.json`, those with most text to train on first."""
    kept: dict[str, int] = {}
    for source in funnel["sources"].values():
        for code, counted in source["languages"].items():
            kept[code] = kept.get(code, 0) + counted["kept_bytes"]
    return sorted(kept.keys() - NO_LANGUAGE, key=lambda code: (-kept[code], code))


def checkpoint_of(facts: Facts, before: str) -> tuple[Inline, ...]:
    """Return which checkpoint the held-out scores are of, behind the words `before`; nothing where the scores do not say."""
    if "checkpoint" not in facts.document(SCORES):
        return ()
    stage, step = facts.get(SCORES, "checkpoint", "stage"), facts.get(SCORES, "checkpoint", "step", show=whole)
    return before, stage, " after step ", step


def later_stages(facts: Facts, recipe: Recipe) -> list[str]:
    """Return the stages after the one whose checkpoint was scored; none where the scores do not say."""
    names = [stage.name for stage in recipe.train]
    scored = facts.document(SCORES).get("checkpoint", {}).get("stage")
    return names[names.index(scored) + 1 :] if scored in names else []


def percent(value: float) -> str:
    """Return a share as text: 0.0312 → '3.12 %'."""
    return f"{100 * value:.2f} %"


def decimals(places: int) -> Any:
    """Return a formatter with this many decimals."""
    return lambda value: f"{value:.{places}f}"


def shown(text: str) -> str:
    """Return what a model wrote with its control and direction characters as signs."""
    return visible(text)


def whole(value: float) -> str:
    """Return a whole number with thin spaces between thousands."""
    return f"{round(value):,}".replace(",", "\u202f")


def data(facts: Facts, recipe: Recipe) -> Section | None:
    """Table 1 of this run: each source's weight, tokens and epochs as consumed, and the shares by category."""
    parts: list[Block] = []
    for stage in recipe.text_stages:
        receipt = f"{stage.name}/receipt.json"
        consumed = facts.document(receipt)["consumed"]["sources"]
        rows: list[list[Fact | str | None]] = []
        ordered = sorted(recipe.sources, key=lambda source: -consumed.get(source.name, {}).get("tokens", 0))
        index = {source.name: number for number, source in enumerate(recipe.sources)}
        for source in ordered:
            if source.name not in consumed:
                continue
            at = ("consumed", "sources", source.name)
            row: list[Fact | str | None] = [
                source.name,
                facts.get(PLAN, "sources", index[source.name], "category"),
                facts.get(receipt, *at, "planned_share", show=percent),
                facts.get(receipt, *at, "realised_share", show=percent),
                facts.get(receipt, *at, "tokens", show=whole),
                facts.get(receipt, *at, "epochs", show=decimals(3)),
                facts.get(receipt, *at, "seen_tokens", show=whole),
                facts.get(FUNNEL, "sources", source.name, "kept_bytes", show=format_bytes),
            ]
            losses = facts.document(receipt).get("mean_loss_by_source", {})
            row.append(facts.get(receipt, "mean_loss_by_source", source.name, show=decimals(3)) if source.name in losses else None)
            if stage.packing == "best_fit":
                row += [facts.get(receipt, *at, key, show=whole) for key in ("padding_tokens", "cut_documents_per_epoch")]
            rows.append(row)
        caption = (
            f"Sources by tokens consumed in the stage {stage.name}: planned and realised share, tokens, epochs, different tokens, "
            "text there is, and the mean over the whole stage of the loss on it, in nats per token."
        )
        columns = ["Source", "Category", "Weight", "Realised", "Tokens", "Epochs", "Unique", "Text", "Mean loss"]
        columns += ["Padding", "Cut documents"] if stage.packing == "best_fit" else []
        parts.append(table(columns, rows, caption=caption, numbers_from=2))
        parts.append(
            figure(
                stacked_share(_by_category(recipe, consumed)), f"Tokens of {stage.name} by category.", receipt, "/consumed/sources"
            )
        )
    return section("data", "Data", *parts) if parts else None


def _by_category(recipe: Recipe, consumed: dict[str, Any]) -> dict[str, float]:
    total = sum(source["tokens"] for source in consumed.values())
    shares: dict[str, float] = {}
    for source in recipe.sources:
        if source.name in consumed:
            shares[source.category] = shares.get(source.category, 0.0) + consumed[source.name]["tokens"] / total
    return shares


def funnel(facts: Facts, recipe: Recipe) -> Section | None:
    """What became of every record: read = trained on + held out + dropped."""
    if not recipe.sources:
        return None
    rows: list[list[Fact | str | None]] = []
    reasons = sorted({reason for source in facts.document(FUNNEL)["sources"].values() for reason in source["dropped"]})
    for source in recipe.sources:
        at = ("sources", source.name)
        dropped = facts.document(FUNNEL)["sources"][source.name]["dropped"]
        row: list[Fact | str | None] = [
            source.name,
            *(facts.get(FUNNEL, *at, key, show=whole) for key in ("read", "kept", "heldout")),
        ]
        row += [facts.get(FUNNEL, *at, "dropped", r, "documents", show=whole) if r in dropped else None for r in reasons]
        rows.append(row)
    columns = ("Source", "Read", "To train on", "Held out", *(f"Dropped: {reason}" for reason in reasons))
    text = "Held-out documents are chosen by the digest of their text, so the choice is the same on every machine and in every run."
    caption = "Documents in = kept + held out + dropped."
    return section("funnel", "What became of every document", paragraph(text), table(columns, rows, caption=caption))


def heldout(facts: Facts, recipe: Recipe) -> Section | None:
    """Bits per byte on held-out text beside what compressors without a neural network reach."""
    if not recipe.text_stages:
        return None
    scores = facts.document(SCORES)["bits_per_byte"]
    baselines = [name for name in ("xz", "ngram") if name in scores["total"]]
    titles = {"model": "Model", "xz": "xz -9", "ngram": "5-gram"}
    by_language = scores["by_language"]
    chart = bars(
        [LANGUAGES.get(language, language) for language in by_language],
        {titles[key]: [by_language[language].get(key) for language in by_language] for key in ("model", *baselines)},
        "bits per byte",
    )
    parts: list[Block] = [
        *_scored(facts, recipe),
        paragraph(
            "Lower is better. Bits per byte do not depend on the tokenizer: they are the model's surprise at a text, in bits, over "
            "the text's UTF-8 bytes. The baselines saw the same held-out text; how each was set up is in the scores' file."
        ),
        figure(chart, "Held-out bits per byte by language.", SCORES, "/bits_per_byte/by_language"),
    ]
    for key, title in (("by_language", "Language"), ("by_source", "Source")):
        rows: list[list[Fact | str | None]] = []
        for name in [*scores[key], None]:
            at = ("bits_per_byte", key, name) if name else ("bits_per_byte", "total")
            found = scores[key][name] if name else scores["total"]
            row: list[Fact | str | None] = [LANGUAGES.get(name, name) if name else "all"]
            row += [facts.get(SCORES, *at, k, show=decimals(3)) if k in found else None for k in ("model", *baselines)]
            row.append(facts.get(SCORES, *at, "perplexity", show=decimals(1)))
            row += [facts.get(SCORES, *at, k, show=whole) for k in ("documents", "bytes")]
            rows.append(row)
        columns = (title, *(titles[k] for k in ("model", *baselines)), "Perplexity", "Documents", "Bytes")
        parts.append(
            table(columns, rows, caption=f"Held-out bits per byte by {title.lower()}; perplexity is per token.", total=True)
        )
    return section("heldout", "Held-out scores", *parts)


def _scored(facts: Facts, recipe: Recipe) -> list[Block]:
    """Say which checkpoint was scored, and which were not."""
    scored, later = checkpoint_of(facts, "Scored was the checkpoint of "), later_stages(facts, recipe)
    if not scored:
        return []
    exported = f" The exports are of {later[-1]}, which came after it." if later else ""
    rest = (
        f". What {', '.join(later)} made of it was not scored on this text.{exported}" if later else ", the one that is exported."
    )
    return [paragraph(*scored, rest)]


def samples(facts: Facts, recipe: Recipe) -> Section | None:
    """What the model wrote at the end of training."""
    parts: list[Block] = []
    for stage in recipe.train:
        file = f"{stage.name}/samples.jsonl"
        if facts.has(file) and facts.document(file):
            records = facts.document(file)
            last = records[-1]["step"]
            # What a stage of conversations found is shown beside what it made of it.
            before = {record["prompt"]: n for n, record in enumerate(records) if record["step"] == 0 != last}
            for number, record in enumerate(records):
                if record["step"] == last:
                    after = facts.get(file, number, "text", show=shown)
                    if record["prompt"] in before:
                        found = facts.get(file, before[record["prompt"]], "text", show=shown)
                        texts = ((f"Before {stage.name}", found), (f"After {stage.name}", after))
                        parts.append(sample(record["prompt"], *texts))
                    else:
                        parts.append(sample(record["prompt"], (f"Continued after {stage.name}", after)))
    return section("samples", "What it writes", *parts) if parts else None


def machine(facts: Facts, recipe: Recipe) -> Section | None:
    """Where it ran, with what, and how long each stage took."""
    stages = facts.stages
    rows: list[list[Fact | str | None]] = [
        [
            name,
            facts.get(f"{name}/manifest.json", "seconds", show=format_duration),
            facts.get(f"{name}/manifest.json", "started_at", show=_moment),
        ]
        for name in stages
    ]
    newest = f"{stages[-1]}/manifest.json"
    environment: list[list[Fact | str | None]] = [
        [key.removesuffix("_bytes"), facts.get(newest, "environment", key, show=show)]
        for key, show in (("processor", str), ("cores", str), ("memory_bytes", format_bytes), ("system", str), ("python", str))
    ]
    environment += [
        [name, facts.get(newest, "environment", "packages", name)] for name in facts.document(newest)["environment"]["packages"]
    ]
    environment.append(["code", facts.get(newest, "code_version")])
    return section(
        "machine",
        "Machine and time",
        table(
            ("Stage", "Wall time", "Started, UTC"),
            rows,
            caption="Wall time of each stage's last run; a stage that was continued counts its last part.",
        ),
        table(("Environment", "Value"), environment, caption="From the newest artifact's manifest."),
    )


def _moment(stamp: str) -> str:
    """Return a time of ISO 8601 in UTC as people write it: 2026-11-23 03:02:27."""
    return stamp.replace("T", " ").removesuffix("Z")


def omissions(facts: Facts, recipe: Recipe) -> Section | None:
    """What this report leaves out, so that silence is not mistaken for success."""
    duplicates = "Exact duplicates were dropped" if recipe.documents.exact_dedup else "Exact duplicates were kept, as asked"
    near = (
        "near-duplicates were looked for in held-out and training text together, by signatures, which find most of them and not all"
        if recipe.documents.near_dedup is not None
        else "near-duplicates between held-out and training text were not looked for in this run"
    )
    left_out = [
        *benchmarks.left_out(facts),
        *([] if facts.has(THROUGHPUT) else ["How fast the exports run was not measured (pellucid throughput)."]),
        f"{duplicates}; {near}.",
        "Held-out and training documents come from the same sources.",
    ]
    return section("omissions", "What this report leaves out", *(paragraph(text) for text in left_out))
