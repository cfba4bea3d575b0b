"""The model card: README.md in the Hugging Face hub's format. Every number in it is read from an artifact of the run."""

from typing import Any

from pellucid.core.units import format_bytes, format_count, format_duration
from pellucid.release.account import Account
from pellucid.release.code import CODE
from pellucid.release.front_matter import front_matter
from pellucid.release.machines import trained_on
from pellucid.release.markdown import as_code, cell, listed, number, plain, table
from pellucid.release.spent import Spent
from pellucid.release.usage import usage

__all__ = ["MODEL_CARD", "model_card"]

MODEL_CARD = "README.md"
_UNSTATED = "**No licence is stated**: nobody but its makers may use it."


def model_card(account: Account, openness: dict[str, Any], spent: Spent, *, faults: list[str], code: bool, code_remark: str) -> str:
    """Return the card. `spent` is what the run took; `faults` what `pellucid verify` found on the run."""
    recipe = account.recipe
    parts = [
        f"---\n{front_matter(account)}---\n\n# {plain(recipe.name)}\n",
        f"{plain(recipe.description).rstrip('.')}.\n" if recipe.description else "",
        _what(account),
        _faults(faults),
        "## Intended use and limits\n",
        _use(account),
        "## How to use it\n",
        usage(account, code=code),
        "## Training data\n",
        _data(account),
        "## Training procedure\n",
        _procedure(account, spent),
        "## Evaluation\n",
        _evaluation(account),
        "## Exports\n" if account.exports else "",
        _exports(account),
        "## Time, energy, carbon and cost\n",
        listed(spent.lines),
        "## Openness\n",
        _openness(openness),
        "## What is left out\n",
        _left_out(account),
        "## How to check it\n",
        _check(code, code_remark),
    ]
    return "\n".join(part for part in parts if part)


def _what(account: Account) -> str:
    recipe, release = account.recipe, account.recipe.release
    model = recipe.model
    shape = f"{model.layers} layers, width {model.hidden}, {model.heads} heads, context {number(model.context_tokens)} tokens"
    rows = [
        ("Parameters", number(account.parameters)),
        ("Architecture", f"decoder-only transformer: {shape}"),
        ("Vocabulary", f"{number(model.vocab_tokens)} tokens ({recipe.tokenizer.kind})"),
        ("Languages", ", ".join(account.languages) or None),
        ("Training began from", account.base),
        ("Made by", release.author),
        ("Published at", release.url),
        ("Paper", release.paper),
        ("Licence", release.licence),
        ("Licence of cards, report and scores", account.text_licence),
        ("Date", account.finished_at[:10]),
    ]
    told = table(("", ""), rows)
    return told if release.licence else f"{told}\n{_UNSTATED}\n"


def _faults(faults: list[str]) -> str:
    if not faults:
        return ""
    return f"**The run that this was made from does not verify** ({len(faults)} faults; `--allow-faults` was given):\n\n" + listed(
        as_code(fault) for fault in faults[:20]
    )


def _use(account: Account) -> str:
    recipe = account.recipe
    meant = recipe.release.intended_use or (
        "No intended use was stated by its makers. It was made to study how small language models come about."
    )
    limits = [plain(limit) for limit in recipe.release.limits]
    if account.parameters is not None and account.parameters < 1_000_000_000:
        limits.append(f"With {format_count(account.parameters)} parameters it knows little and is often wrong.")
    if account.languages:
        limits.append(f"It was trained on text in {plain(', '.join(account.languages))}; of other languages it knows nothing.")
    if not any(stage.learns_from_pairs for stage in recipe.train):
        limits.append("It was not aligned with preferences of people: it may write what is offensive or harmful.")
    limits.append("It was not tested for bias, toxicity or safety. What it says of people or facts needs checking.")
    if account.base is not None:
        limits.append(
            f"Training began from {plain(account.base)}: what that was trained on, its limits and its licence apply here too."
        )
    if recipe.documents.decontaminate is None:
        limits.append("Its training text was not cleared of benchmark questions.")
    return f"{plain(meant)}\n\n{listed(limits)}"


def _data(account: Account) -> str:
    rows = []
    for source in account.sources:
        funnel, taken = account.funnels.get(source.key, {}), account.consumed.get(source.key)
        epochs = ", ".join(f"{number(value, 2)} ({stage})" for stage, value in taken.epochs.items()) if taken else None
        named = ", ".join(name or "none stated" for name in list(source.licences)[:3])
        licences = (
            f"{named}, …" if len(source.licences) > 3 else named or (account.text_licence if source.kind == "written" else "")
        )
        tokens = number(taken.tokens) if taken else None
        left = "left out" if source.why_kept_back else "yes"
        rows.append((source.name, source.kind, funnel.get("kept"), licences, tokens, epochs, left, source.card))
    body = [
        f"| {cell(r[0])} | {r[1]} | {cell(number(r[2]))} | {' | '.join(cell(x) for x in r[3:7])} | [card]({r[7]}) |" for r in rows
    ]
    head = "| Source | Kind | Records to train on | Licences | Tokens trained on | Epochs | May be passed on | |"
    head += "\n| --- | --- | ---: | --- | ---: | --- | --- | --- |"
    total = sum(taken.tokens for taken in account.consumed.values())
    note = f"Together {number(total)} tokens."
    if account.recipe.sources:
        note += " `croissant.json` describes the documents for programs."
    if account.selection.has("report/data.html"):
        note += " `report/data.html` shows samples, lengths and languages of every source."
    note += "\n"
    return "\n".join([head, *body]) + f"\n\n{note}"


def _procedure(account: Account, spent: Spent) -> str:
    rows = []
    for stage in account.recipe.train:
        receipt = account.read(f"{stage.name}/receipt.json") or {}
        schedule, optimizer = stage.schedule, stage.optimizer
        time = format_duration(spent.hours[stage.name] * 3600) if stage.name in spent.hours else None
        taken = number(receipt.get("consumed", {}).get("tokens"))
        rows.append((stage.name, stage.objective, taken, optimizer.kind, f"{schedule.kind}, {schedule.peak_lr:g}", time))
    heads = ("Stage", "Objective", "Tokens", "Optimizer", "Schedule, peak rate", "Time of all attempts")
    machines = "\n".join(f"Trained on: {plain(machine)}.  " for machine in trained_on(account))
    return (
        table(heads, rows, right=(2, 5))
        + f"\n{machines}\nAll settings are in `recipe.resolved.yaml`, seed {account.recipe.seed}.\n"
    )


def _evaluation(account: Account) -> str:
    parts = [part for part in (_heldout(account), _benchmarks(account)) if part]
    return "\n".join(parts) or "No score was measured.\n"


def _heldout(account: Account) -> str:
    scores = account.heldout.get("bits_per_byte")
    if not scores:
        return ""
    of_all = [("all", scores["total"]), *sorted(scores.get("by_language", {}).items())]
    rows = [
        (name, *(number(one[key]) for key in ("documents", "bytes", "model")), number(one.get("xz")), number(one.get("ngram")))
        for name, one in of_all
    ]
    heads = ("Held-out text", "Documents", "Bytes", "Model", "xz -9", "5-gram")
    told = f"Bits per byte of the checkpoint {plain(account.scored)} (`scores/heldout.json`), lower is better"
    if account.exports and account.shipped != account.scored:
        told += f"; the exports are of {plain(account.shipped)}, which was trained further and not scored so"
    return f"{told}:\n\n" + table(heads, rows, right=(1, 2, 3, 4, 5))


def _benchmarks(account: Account) -> str:
    rows = [
        (
            result["subject"]["label"],
            result["suite"],
            task,
            metric,
            *(number(value.get(key)) for key in ("value", "stderr", "items")),
        )
        for result in account.results.values()
        for task, entry in sorted(result["tasks"].items())
        for metric, value in sorted(entry["metrics"].items())
        if value.get("value") is not None
    ]
    heads = ("Model", "Suite", "Task", "Metric", "Value", "Standard error", "Items")
    return "Benchmarks:\n\n" + table(heads, rows, right=(4, 5, 6)) if rows else ""


def _exports(account: Account) -> str:
    rows = []
    for name, entry in account.exports.items():
        proof = entry.get("certificate") or {}
        kl = proof.get("distributions", {}).get("kl_nats", {}).get("mean")
        passed = "equal within its type's limits" if proof.get("passed") else "not certified" if not proof else "not equal"
        told = f"{kl:.2e}" if kl is not None else None
        rows.append((name, f"exports/{entry['place']}", format_bytes(entry["facts"]["bytes"]), proof.get("runtime"), told, passed))
    heads = ("Export", "Where", "Size", "Opened again in", "Mean KL from the checkpoint, nats", "Certificate")
    of = f"All of them hold the checkpoint {plain(account.shipped)}.\n\n" if rows and account.shipped else ""
    return of + table(heads, rows, right=(2, 4))


def _openness(openness: dict[str, Any]) -> str:
    framework = openness["framework"]
    rows = [
        (
            one["name"],
            ("III", "II", "I")[3 - one["class"]] + ("" if one["required"] else ", not required"),
            "yes" if one["present"] else "no",
            one["licence"],
            "yes" if one["open"] else "no",
        )
        for one in openness["components"]
    ]
    missing = listed(f"{plain(one['component'])}: {plain(one['why'])}." for one in openness["missing_for_next"])
    following = f"What {openness['next_class_name']} lacks:\n\n{missing}\n" if missing else ""
    return (
        f"**{openness['class_name']}** by the {framework['name']} {framework['version']} ([paper]({framework['sources'][0]}), "
        f"[tool]({framework['sources'][1]})), computed from this folder and its licences (`openness.json`).\n\n{following}"
        + table(("Component", "Class", "In the release", "Licence", "Open"), rows)
    )


def _left_out(account: Account) -> str:
    reasons: dict[str, list[int]] = {}
    for one in account.selection.left_out:
        reasons.setdefault(one.why, []).append(one.bytes)
    if not reasons:
        return "Nothing that the run's manifests name.\n"
    rows = [(why, len(sizes), format_bytes(sum(sizes))) for why, sizes in reasons.items()]
    return table(("Why", "Files", "Size"), rows, right=(1, 2)) + "\nEach file with its size and SHA-256 is in `release.json`.\n"


def _check(code: bool, code_remark: str) -> str:
    without = f"Without Pellucid installed: `PYTHONPATH={CODE} python -B -m pellucid verify .`" if code else ""
    parts = [part for part in (without, code_remark and plain(code_remark)) if part]
    return (
        "Every file's SHA-256 is in `SHA256SUMS`; every artifact has a manifest with what it was made from; `ledger.jsonl` is "
        "the chain of all that was done. `report/index.html` is the technical report, whose numbers name their artifacts; "
        "`bom.cdx.json` is the bill of materials (CycloneDX 1.6), `packages.lock` has the exact packages.\n\n"
        "```bash\nsha256sum --check --quiet SHA256SUMS\npellucid verify .\n```\n" + "".join(f"\n{part}\n" for part in parts)
    )
