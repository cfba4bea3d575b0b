"""The sections of the page, each made from artifacts alone. A section whose artifact is not there yet is left out and said so."""

from collections.abc import Iterator, Sequence
from typing import Any

from pellucid.core.excerpt import visible
from pellucid.core.units import format_bytes, format_count, format_duration
from pellucid.recipe.recipe import Recipe
from pellucid.report import benchmarks
from pellucid.report.blocks import Block, Section
from pellucid.report.facts import Fact, Facts
from pellucid.report.figures import bars, curves, stacked_share
from pellucid.report.markup import figure, heading, paragraph, sample, section, table
from pellucid.report.throughput import THROUGHPUT

__all__ = ["architecture", "data", "funnel", "heldout", "machine", "omissions", "samples", "training"]

PLAN, FUNNEL, SCORES = "plan/plan.json", "documents/funnel.json", "scores/heldout.json"
LANGUAGES = {"de": "German", "en": "English", "es": "Spanish", "fr": "French", "it": "Italian", "nl": "Dutch", "pt": "Portuguese"}


_LOSS_UNITS = {False: "nats per token", True: "nats per pair"}


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
            if stage.packing == "best_fit":
                row += [facts.get(receipt, *at, key, show=whole) for key in ("padding_tokens", "cut_documents_per_epoch")]
            rows.append(row)
        caption = (
            f"Sources by tokens consumed in the stage {stage.name}: planned and realised share, tokens, epochs, different tokens."
        )
        columns = ["Source", "Category", "Weight", "Realised", "Tokens", "Epochs", "Unique", "Text"]
        columns += ["Padding", "Cut documents"] if stage.packing == "best_fit" else []
        parts.append(table(columns, rows, caption=caption, numbers_from=2))
        parts.append(
            figure(stacked_share(_by_category(recipe, consumed)), "Trained tokens by category.", receipt, "/consumed/sources")
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


def architecture(facts: Facts, recipe: Recipe) -> Section | None:
    """The model's shape and where its parameters are."""
    model, names = recipe.model, list(facts.document(PLAN)["parameters"])
    parts = [name for name in names if isinstance(facts.document(PLAN)["parameters"][name], int) and name != "total"]
    rows = [[name.replace("_", " "), facts.get(PLAN, "parameters", name, show=whole)] for name in [*parts, "total"]]
    shape = [
        ["layers", str(model.layers)],
        ["hidden", str(model.hidden)],
        ["heads (queries / keys and values)", f"{model.heads} / {model.kv_heads}"],
        ["MLP hidden (SwiGLU)", str(model.mlp_hidden)],
        ["norm", model.norm + (" with bias" if model.norm_bias else "")],
        ["rotary share of a head, base", f"{model.rotary_frac:g}, {model.rotary_base:g}"],
        ["biases on query, key, value", "yes" if model.qkv_bias else "no"],
        ["norm of each head's queries and keys", "yes" if model.qk_norm else "no"],
        ["head shares the embedding", "yes" if model.tied_head else "no"],
        ["vocabulary, padding included", whole(model.vocab_tokens)],
        ["context, tokens", whole(model.context_tokens)],
    ]
    return section(
        "architecture",
        "Architecture",
        table(("Shape", "Value"), shape, caption="From the recipe (recipe.resolved.yaml, model)."),
        table(("Parameters", "Number"), rows, caption="Counted by pellucid plan.", total=True),
    )


def training(facts: Facts, recipe: Recipe) -> Section | None:
    """Layout, schedule as run, loss curve and speed of each training stage."""
    parts: list[Block] = []
    for stage in recipe.train:
        file = f"{stage.name}/metrics.jsonl"
        records = facts.document(file)
        steps = [(n, record) for n, record in enumerate(records) if "loss" in record and not record.get("skipped")]
        x = [record["tokens"] / 1e6 for _, record in steps]
        loss, rate = [r["loss"] for _, r in steps], [r["lr"] for _, r in steps]
        last, _ = steps[-1]
        tail = [record["tokens_per_s"] for _, record in steps[len(steps) // 10 :]]
        middle = sorted(tail)[len(tail) // 2]
        nearest, _ = min(steps, key=lambda item: abs(item[1]["tokens_per_s"] - middle))
        layout: list[list[Fact | str | None]] = [
            ["steps", facts.get(file, last, "step", show=whole)],
            ["tokens", facts.get(file, last, "tokens", show=whole)],
            ["tokens a step", whole(stage.batch_tokens)]
            if stage.learns_from_text
            else ["sequences a step", whole(stage.batch_seqs)],
            ["sequence, attention", f"{stage.seq_tokens} tokens, {stage.attention}"],
            ["optimizer, peak rate", f"{stage.optimizer.kind}, {stage.schedule.peak_lr:g} ({stage.schedule.kind})"],
            [f"loss of the last step, {_LOSS_UNITS[stage.learns_from_pairs]}", facts.get(file, last, "loss", show=decimals(4))],
            ["tokens per second (median step)", facts.get(file, nearest, "tokens_per_s", show=whole)],
            ["model FLOPs utilisation (median step)", facts.get(file, nearest, "mfu", show=percent)],
        ]
        curve = curves(
            {"each step": (x, loss), "mean of 20 steps": (x, list(_smooth(loss, 20)))},
            "tokens, millions",
            f"training loss, {_LOSS_UNITS[stage.learns_from_pairs]}",
            faint=("each step",),
        )
        parts += [
            heading(stage.name),
            table(("Layout", "Value"), layout, caption=f"The stage {stage.name} as run."),
            figure(curve, "Training loss.", file),
            figure(curves({"rate": (x, rate)}, "tokens, millions", "learning rate"), "Learning rate as run.", file),
        ]
    return section("training", "Training", *parts)


def _smooth(values: Sequence[float], width: int) -> Iterator[float]:
    for end in range(1, len(values) + 1):
        window = values[max(0, end - width) : end]
        yield sum(window) / len(window)


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
            facts.get(f"{name}/manifest.json", "started_at"),
        ]
        for name in stages
    ]
    newest = f"{stages[-1]}/manifest.json"
    environment: list[list[Fact | str | None]] = [
        [key.replace("_", " "), facts.get(newest, "environment", key, show=show)]
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
            ("Stage", "Wall time", "Started"),
            rows,
            caption="Wall time of each stage's last run; a stage that was continued counts its last part.",
        ),
        table(("Environment", "Value"), environment, caption="From the newest artifact's manifest."),
    )


def omissions(facts: Facts, recipe: Recipe) -> Section | None:
    """What this report leaves out, so that silence is not mistaken for success."""
    duplicates = "Exact duplicates were dropped" if recipe.documents.exact_dedup else "Exact duplicates were kept, as asked"
    left_out = [
        "Energy and carbon are forecast in plan/plan.json; they were not measured.",
        *benchmarks.left_out(facts),
        *([] if facts.has(THROUGHPUT) else ["How fast the exports run was not measured (pellucid throughput)."]),
        f"{duplicates}; near-duplicates between held-out and training text were not looked for in this run.",
        "Held-out and training documents come from the same sources.",
    ]
    return section("omissions", "What this report leaves out", *(paragraph(text) for text in left_out))


def headline(facts: Facts, recipe: Recipe) -> list[tuple[str, Fact]]:
    """The few numbers that a reader in a hurry wants."""
    stage = (recipe.text_stages or recipe.train)[-1].name
    cards = [("parameters", facts.get(PLAN, "parameters", "total", show=format_count))]
    records = facts.document(f"{stage}/metrics.jsonl")
    cards.append(("tokens trained on", facts.get(f"{stage}/metrics.jsonl", len(records) - 1, "tokens", show=format_count)))
    if facts.has(SCORES):
        cards.append(("bits per byte, held out", facts.get(SCORES, "bits_per_byte", "total", "model", show=decimals(3))))
        if "xz" in facts.document(SCORES)["bits_per_byte"]["total"]:
            cards.append(("bits per byte, xz -9", facts.get(SCORES, "bits_per_byte", "total", "xz", show=decimals(3))))
    cards.append(("training time", facts.get(f"{stage}/manifest.json", "seconds", show=format_duration)))
    return cards
