"""The first screen: what the model is, what it was trained on, what it scores, what it cost, and whether the run verifies."""

from pellucid.core.excerpt import in_words, one_line
from pellucid.core.scores import lower_is_better, unit_of
from pellucid.core.spending import ACCOUNT, how_known
from pellucid.core.units import format_bytes, format_carbon, format_count, format_duration, format_energy, format_few
from pellucid.recipe.recipe import Recipe
from pellucid.report.benchmarks import find_benchmarks
from pellucid.report.blocks import Card, Cards, Inline, Paragraph
from pellucid.report.facts import Fact, Facts
from pellucid.report.sections import FUNNEL, LANGUAGES, PLAN, SCORES, checkpoint_of, decimals, languages_of, whole
from pellucid.report.titles import chosen_metric, metric_title, suite_title, task_title
from pellucid.report.verified import VERIFICATION

__all__ = ["first_screen", "lead"]

_MOST_LANGUAGES, _MOST_TASKS, _FAULT_CHARS = 7, 3, 110
_KINDS = {True: "a language model of one decoder, tuned to answer", False: "a base language model of one decoder"}

_TOTAL = ("total",)

Line = tuple[Inline, ...]


def lead(facts: Facts, recipe: Recipe) -> Paragraph:
    """Return what the model is in one or two sentences made of the recipe's and the plan's facts."""
    talks = any(not stage.learns_from_text for stage in recipe.train)
    languages = _languages(facts)
    layers, hidden, context, vocabulary = _shape(facts, recipe, "layers", "hidden", "context_tokens", "vocab_tokens")
    told: list[Inline] = [
        f"{recipe.name} is {_KINDS[talks]}: ",
        facts.get(PLAN, "parameters", "total", show=format_count),
        *(" parameters in ", layers, " layers of width ", hidden, ", a context of ", context, " tokens and a vocabulary of "),
        *(vocabulary, "."),
    ]
    if recipe.text_stages:
        told.append(f" It learnt from {_counted(len(recipe.sources), 'source')}")
        if languages:
            told.append(f" in {in_words(languages) if len(languages) <= _MOST_LANGUAGES else f'{len(languages)} languages'}")
        tuned = [stage.name for stage in recipe.train if not stage.learns_from_text]
        told.append(f", then in {_counted(len(tuned), 'stage')} to answer ({', '.join(tuned)})." if tuned else ".")
    return Paragraph(tuple(told))


def first_screen(facts: Facts, recipe: Recipe) -> Cards:
    """Return the answers that a reader in a hurry wants."""
    answers = [_model(facts, recipe), _trained(facts, recipe), *_scores(facts, recipe), *_benchmarks(facts)]
    return Cards((*answers, _cost(facts, recipe), _verified(facts)))


def _model(facts: Facts, recipe: Recipe) -> Card:
    names = ("layers", "hidden", "heads", "kv_heads", "context_tokens", "vocab_tokens")
    layers, hidden, heads, kv_heads, context, vocabulary = _shape(facts, recipe, *names)
    grouped: Line = (" query and ", kv_heads, " key-value") if recipe.model.heads != recipe.model.kv_heads else ()
    lines: list[Line] = [
        (layers, " layers, width ", hidden, ", ", heads, *grouped, " heads"),
        (context, " tokens of context, ", vocabulary, " in the vocabulary"),
    ]
    return Card("The model", (facts.get(PLAN, "parameters", "total", show=format_count), " parameters"), tuple(lines))


def _shape(facts: Facts, recipe: Recipe, *names: str) -> list[Inline]:
    manifest = f"{recipe.train[0].name}/manifest.json"
    return [
        facts.known(manifest, "config", "model", name, show=whole, otherwise=whole(getattr(recipe.model, name))) for name in names
    ]


def _trained(facts: Facts, recipe: Recipe) -> Card:
    tokens = [(stage.name, _tokens(facts, stage.name)) for stage in recipe.train]
    first, *others = tokens
    lines: list[Line] = []
    if recipe.text_stages:
        languages = _languages(facts)
        named = f" in {_counted(len(languages), 'language')}" if languages else ""
        lines.append((f"from {_counted(len(recipe.sources), 'source')}{named}",))
    lines += [("then ", one, f" in {name}") for name, one in others]
    return Card("Trained on", (first[1], " tokens"), tuple(lines))


def _tokens(facts: Facts, stage: str) -> Fact:
    file = f"{stage}/metrics.jsonl"
    last = max(n for n, record in enumerate(facts.document(file)) if "tokens" in record)
    return facts.get(file, last, "tokens", show=format_count)


def _scores(facts: Facts, recipe: Recipe) -> list[Card]:
    """Held-out text: which checkpoint was scored, and whether it is better than its baselines."""
    if not facts.has(SCORES):
        return [] if find_benchmarks(facts.run) else [Card("Scores", ("not scored",))]
    total = ("bits_per_byte", "total")
    found = facts.document(SCORES)["bits_per_byte"]["total"]
    lines: list[Line] = [("lower is better", *checkpoint_of(facts, "; of "))]
    for name, title in {"xz": "xz -9", "ngram": "a 5-gram of the same tokens"}.items():
        if name in found:
            told = (
                "better than " if found["model"] < found[name] else "worse than " if found["model"] > found[name] else "as good as "
            )
            lines.append((f"{told}{title}: ", facts.get(SCORES, *total, name, show=decimals(3))))
    answer = (facts.get(SCORES, *total, "model", show=decimals(3)), " bits per byte")
    return [Card("Score on held-out text", answer, tuple(lines))]


def _benchmarks(facts: Facts) -> list[Card]:
    """The first tasks of the first suite, each with the metric that tells most; how many suites there are beside it."""
    files = find_benchmarks(facts.run)
    for file in files[:1]:
        result = facts.document(file)
        lines = [line for task in result["tasks"] if (line := _benchmark(facts, file, task))]
        more = [(f"and {whole(len(lines) - _MOST_TASKS)} more",)] if len(lines) > _MOST_TASKS else []
        others = [(f"and {_counted(len(files) - 1, 'other suite')}",)] if len(files) > 1 else []
        subject = facts.get(file, "subject", "label")
        return [Card("Benchmark", (suite_title(result["suite"]),), (("of ", subject), *lines[:_MOST_TASKS], *more, *others))]
    return []


def _benchmark(facts: Facts, file: str, task: str) -> Line:
    """A task's line; nothing where it has no number."""
    metrics = facts.document(file)["tasks"][task]["metrics"]
    metric = chosen_metric(name for name in metrics if metrics[name]["value"] is not None)
    if metric is None:
        return ()
    is_share = unit_of(metric, [metrics[metric]["value"]]) == "percent"
    shown = facts.get(file, "tasks", task, "metrics", metric, "value", show=_in_percent if is_share else decimals(3))
    lower = ", lower is better" if lower_is_better(metric) else ""
    unit = " %" if is_share else ""
    return f"{task_title(task)}: ", shown, f"{unit}, {metric_title(metric)}{lower}"


def _in_percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _cost(facts: Facts, recipe: Recipe) -> Card:
    if facts.has(ACCOUNT):
        how = how_known(facts.document(ACCOUNT)["total"])
        hours = facts.get(ACCOUNT, *_TOTAL, "hours", show=lambda value: format_duration(3600 * value))
        lines: list[Line] = [("US$ ", facts.get(ACCOUNT, *_TOTAL, "usd", show=format_few), " at the plan's price of a device-hour")]
        if how is not None:
            energy = facts.get(ACCOUNT, *_TOTAL, "kwh_with_pue", show=format_energy)
            carbon = facts.get(ACCOUNT, *_TOTAL, "kg_co2e", show=format_carbon)
            lines.append((energy, ", ", carbon, f" CO2e ({how})"))
            if facts.document(ACCOUNT)["total"]["unknown_hours"]:
                unknown = facts.get(ACCOUNT, *_TOTAL, "unknown_hours", show=lambda value: format_duration(3600 * value))
                lines.append(("without ", unknown, " whose energy was not written down"))
        else:
            lines.append(("energy not written down; forecast: ", *_forecast(facts)))
        attempts = facts.get(ACCOUNT, *_TOTAL, "attempts", show=whole)
        lines.append((attempts, " attempt" if attempts.value == 1 else " attempts, failed ones counted"))
        return Card("Cost", (hours,), tuple(lines))
    stage = recipe.train[0].name
    time = facts.get(f"{stage}/manifest.json", "seconds", show=format_duration)
    money = facts.get(PLAN, "cost", "usd", show=format_few)
    return Card("Cost", (time, f" of {stage}"), (("forecast for all: US$ ", money, ", ", *_forecast(facts)),))


def _forecast(facts: Facts) -> Line:
    """Energy and carbon of the plan, and which stages' lengths were not known when it was made."""
    plan = facts.document(PLAN)
    energy = facts.get(PLAN, "energy", "kwh", show=format_energy)
    carbon = facts.get(PLAN, "energy", "kg_co2e", show=format_carbon)
    one_step = plan.get("one_step_only", [])
    most = [stage["name"] for stage in plan["stages"] if stage.get("length_basis") == "at_most"]
    told = [f", with no more than one step of {in_words(one_step)}"] if one_step else []
    told += [f", {in_words(most)} taken at the most"] if most else []
    return energy, ", ", carbon, " CO2e", *told


def _verified(facts: Facts) -> Card:
    if not facts.has(VERIFICATION):
        return Card("Verified", ("not checked",), (("pellucid verify RUN",),))
    faults = facts.document(VERIFICATION)["faults"]
    looked: list[Line] = [
        (
            facts.get(VERIFICATION, "artifacts", show=whole),
            " artifacts, ",
            facts.get(VERIFICATION, "bytes", show=format_bytes),
            " read",
        ),
        ("again: pellucid verify RUN",),
    ]
    if not faults:
        return Card("Verified", ("every check holds",), tuple(looked), "good")
    number = facts.get(VERIFICATION, "faults_found", show=whole)
    looked.insert(0, (one_line(faults[0], _FAULT_CHARS),))
    return Card("Verified", (number, " faults" if len(faults) > 1 else " fault"), tuple(looked), "bad")


def _languages(facts: Facts) -> list[str]:
    """The languages of the documents by how much text is in them."""
    if not facts.has(FUNNEL):
        return []
    return [LANGUAGES.get(code, code) for code in languages_of(facts.document(FUNNEL))]


def _counted(number: int, what: str) -> str:
    return f"one {what}" if number == 1 else f"{number} {what}s"
