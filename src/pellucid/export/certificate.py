"""The certificate of an export: what was compared with the checkpoint in its real runtime, how far off it is, if it passes.

It holds digests of all files, so that any later change shows, and the measured figures, so that they can be measured again.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pellucid.core.errors import ArtifactError
from pellucid.core.files import sha256_file
from pellucid.core.progress import progress
from pellucid.export.comparing import (
    compare_answers,
    compare_conversations,
    compare_distributions,
    compare_strings,
    windows_of,
)
from pellucid.export.known_readings import KnownReading
from pellucid.export.limits import Limits, limits_of
from pellucid.export.probes import Probe
from pellucid.export.runtimes.runtime import Runtime

__all__ = ["Exported", "certify", "changed_files", "differences", "file_facts", "require"]

_USUAL_LOGIT = 5.0
# A text in which nothing is special: tokens that a program adds do not depend on what it says.
_PLAIN_TEXT = "The river runs past the mill."
# A bound on the known readings themselves. Of right exports 97 % of the strings and more were equal, with other vocabularies or two
# letters exchanged 28 % and less; finer faults leave up to 96 %, and are told as their ids are not known.
_LEAST_EQUAL = 0.9
# What another machine's order of sums may move: figures of a repetition against the recorded ones, in proportion and beside it.
_SAME, _SAME_NATS = 0.05, 1e-6


@dataclass(frozen=True)
class Exported:
    """What is certified: a file or folder, and what is known of it.

    `context_tokens` and `vocab_tokens` are the model's. `special_ids` may end answers beside those that training ends them with
    (llama.cpp adds tokens that it knows by name). `weights` is what `weight_errors` found and `shape` what `shape_differences`
    did, each None where it cannot be read back. `known_strings` and `known_chats` say which other ids a runtime is known to give;
    None where it is to give equal ones.
    """

    path: Path
    number_type: str
    context_tokens: int
    vocab_tokens: int
    special_ids: frozenset[int] = frozenset()
    weights: Mapping[str, Any] | None = None
    shape: Sequence[Mapping[str, Any]] | None = None
    known_strings: KnownReading | None = None
    known_chats: KnownReading | None = None


def certify(exported: Runtime, reference: Runtime, probe: Probe, what: Exported) -> dict[str, Any]:
    """Return the certificate of an export that `exported` has open, compared with the checkpoint in `reference`: JSON values.

    `passed` is False where one thing does not hold, and `reasons` says which: value, limit, place. Nothing is raised for that;
    `require` does. Raises what the runtimes raise, and `UsageError` for a number type without limits.
    """
    limits, started = limits_of(what.number_type), time.monotonic()
    windows = windows_of(reference, probe, what.context_tokens, what.vocab_tokens)
    if not windows:
        raise ArtifactError("the documents of the probe hold no two tokens; there is nothing to compare distributions on")
    with progress(f"{exported.name} {what.number_type}", sum(map(len, windows)), "tokens") as bar:
        bar.note("strings")
        certificate: dict[str, Any] = {
            "runtime": exported.name,
            "version": exported.version,
            "compared_with": f"{reference.name} {reference.version}",
            "number_type": what.number_type,
            "load_s": exported.load_s,
            **file_facts(what.path),
            "strings": compare_strings(exported, reference, probe.strings, what.known_strings),
            "ends": _ends(exported, reference, what),
            "adds": _added(exported),
            "conversations": compare_conversations(exported, reference, probe, what.known_chats),
            "shape": None if what.shape is None else [dict(one) for one in what.shape],
            "weights": None if what.weights is None else dict(what.weights),
        }
        bar.note("distributions")
        certificate["distributions"] = compare_distributions(exported, reference, windows, bar)
        bar.note("questions")
        certificate["questions"] = (
            compare_answers(exported, reference, probe.questions, what.context_tokens) if probe.questions else None
        )
    reasons = [*_tokenizer_reasons(certificate), *_said_reasons(certificate), *_model_reasons(certificate, limits)]
    took = {"took_s": time.monotonic() - started}
    return {"passed": not reasons, "reasons": reasons, **certificate, "limits": asdict(limits), **took}


def require(certificate: Mapping[str, Any]) -> None:
    """Raise `ArtifactError` with every reason where a certificate does not pass."""
    if not certificate["passed"]:
        reasons = "; ".join(certificate["reasons"])
        raise ArtifactError(f"the {certificate['number_type']} export is not the checkpoint in {certificate['runtime']}: {reasons}")


def file_facts(path: Path) -> dict[str, Any]:
    """Return `bytes` in all and, of each file of a folder (or the one file), its bytes and SHA-256: JSON values."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    base = path.parent if path.is_file() else path
    facts = {file.relative_to(base).as_posix(): {"bytes": file.stat().st_size, "sha256": sha256_file(file)} for file in files}
    return {"bytes": sum(one["bytes"] for one in facts.values()), "files": facts}


def changed_files(certificate: Mapping[str, Any], path: Path) -> list[str]:
    """Return one line for each file that is not as it was certified: altered, missing or new. One flipped bit shows."""
    recorded, found = certificate["files"], file_facts(path)["files"]
    lines = []
    for name in sorted({*recorded, *found}):
        if name not in found:
            lines.append(f"{name} is missing")
        elif name not in recorded:
            lines.append(f"{name} was not there when the export was certified")
        elif found[name] != recorded[name]:
            lines.append(f"{name} is not the file that was certified: SHA-256 {found[name]['sha256'][:12]}…, "
                         f"certified {recorded[name]['sha256'][:12]}…")  # fmt: skip
    return lines


def differences(recorded: Mapping[str, Any], repeated: Mapping[str, Any]) -> list[str]:
    """Return one line for each thing that a repeated certificate finds otherwise than the recorded one; none where it holds.

    Counts must be equal; divergence and perplexity may differ by 5 % or 1e-6, as another machine sums in another order. Times and
    versions may differ.
    """
    lines = [f"it does not pass now: {reason}" for reason in repeated["reasons"]]
    for part in ("strings", "conversations"):
        for name in ("compared", "equal", "known_otherwise"):
            # Certificates of an earlier version lack the last.
            if name in recorded[part]:
                lines += _otherwise(f"{part}.{name}", recorded[part][name], repeated[part][name], 0.0)
    for name in ("mean", "p99"):
        before, now = (one["distributions"]["kl_nats"][name] for one in (recorded, repeated))
        lines += _otherwise(f"distributions.kl_nats.{name}", before, now, _SAME)
    before, now = (one["distributions"]["perplexity"]["export"] for one in (recorded, repeated))
    return lines + _otherwise("distributions.perplexity.export", before, now, _SAME)


def _otherwise(field: str, before: float, now: float, tolerance: float) -> list[str]:
    allowed = tolerance * max(abs(before), abs(now)) + (_SAME_NATS if tolerance else 0.0)
    return [] if abs(before - now) <= allowed else [f"{field}: {now:.6g} now, {before:.6g} recorded"]


def _ends(exported: Runtime, reference: Runtime, what: Exported) -> dict[str, Any]:
    """What ends a text and an answer here and there; `unexpected` ends answers and is no special token."""
    theirs, ours = exported.stop_ids(), reference.stop_ids()
    return {
        "eos_id": {"checkpoint": reference.eos_id, "export": exported.eos_id},
        "stop_ids": sorted(ours),
        "missing": sorted(ours - theirs),
        "added_special": sorted((theirs - ours) & what.special_ids),
        "unexpected": sorted(theirs - ours - what.special_ids),
    }


def _added(exported: Runtime) -> dict[str, Any]:
    """The ids that an export has its program put before and after a text, unless told otherwise."""
    called, own = exported.encode_plain(_PLAIN_TEXT), exported.encode(_PLAIN_TEXT)
    # Where the text is not read as it is, all of it counts as put there.
    at = next((place for place in range(len(called)) if called[place : place + len(own)] == own), len(called))
    return {"before": called[:at], "after": called[at + len(own) :]}


def _said_reasons(certificate: Mapping[str, Any]) -> list[str]:
    """What the export's own files say otherwise than the checkpoint does."""
    added = {where: ids for where, ids in certificate["adds"].items() if ids}
    return [
        *(f"a plain call puts the ids {ids} {where} a text, and training put none there" for where, ids in added.items()),
        *(
            f"{one['field']} is {one['export']} in the export, {one['checkpoint']} in the checkpoint"
            for one in certificate["shape"] or ()
        ),
    ]


def _tokenizer_reasons(certificate: Mapping[str, Any]) -> list[str]:
    reasons = []
    strings, talks, ends = certificate["strings"], certificate["conversations"], certificate["ends"]
    if other := _other(strings):
        reasons.append(f"{other} of {strings['compared']} strings get other ids: {_first(strings)}")
    elif strings["equal"] < _LEAST_EQUAL * strings["compared"]:
        reasons.append(f"{strings['equal']} of {strings['compared']} strings get equal ids, least {_LEAST_EQUAL:.0%}")
    if not talks["has_template"]:
        reasons.append("it brings no chat template, and the model was trained with one")
    elif talks["left_out"] and not talks["compared"]:
        reasons.append("training's chat template refuses every conversation that was tried, so none was compared")
    elif other := _other(talks):
        refused = f" ({talks['refused']} of them its template refuses)" if talks["refused"] else ""
        reasons.append(f"{other} of {talks['compared']} conversations get other ids{refused}: {_first(talks)}")
    if ends["eos_id"]["export"] != ends["eos_id"]["checkpoint"]:
        reasons.append(f"its end of text is id {ends['eos_id']['export']}, training's {ends['eos_id']['checkpoint']}")
    if ends["missing"]:
        reasons.append(f"an answer does not end at {ends['missing']}, which end it in training")
    if ends["unexpected"]:
        reasons.append(f"an answer ends at {ends['unexpected']}, which are tokens of text")
    return reasons


def _other(compared: Mapping[str, Any]) -> int:
    """How many get ids that are neither training's nor those that the runtime is known to give."""
    return int(compared["compared"] - compared["equal"] - compared["known_otherwise"])


def _first(compared: Mapping[str, Any]) -> str:
    first = compared["first_difference"]
    return f"{first['text']!r}, from token {first['at']} on {first['export']}, in training {first['checkpoint']}"


def _model_reasons(certificate: Mapping[str, Any], limits: Limits) -> list[str]:
    found, reasons = certificate["distributions"], []
    for name, limit in (("mean", limits.kl_mean), ("p99", limits.kl_p99)):
        if not found["kl_nats"][name] <= limit:  # what is no number is refused too
            reasons.append(f"KL divergence, {name}: {found['kl_nats'][name]:.3g} nats, limit {limit:g}")
    if limits.log_probability is not None:
        limit = limits.log_probability * max(1.0, found["logit_reach"] / _USUAL_LOGIT)
        if not found["largest_log_probability_difference"] <= limit:
            largest = found["largest_log_probability_difference"]
            reasons.append(f"a log-probability differs by {largest:.3g}, limit {limit:.3g}")
    return [*reasons, *_weight_reasons(certificate["weights"])]


def _weight_reasons(weights: Mapping[str, Any] | None) -> list[str]:
    if weights is None or weights["largest_row_error"] <= weights["limit"]:
        return []
    if weights["type"] is None:
        return [f"{weights['tensor']} is not on both sides, or of another shape"]
    off = f"is off by {weights['largest_row_error']:.3g} of its size, limit {weights['limit']:g}"
    return [f"{weights['tensor']}, row {weights['row']} {off} for {weights['type']}"]
