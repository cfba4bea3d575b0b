"""Check: every number of the report is in the artifact that it points to, and the page shows it as the report's list says."""

import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Any, NamedTuple

import orjson

from pellucid.core.errors import ArtifactError
from pellucid.core.files import is_inside
from pellucid.report.facts import resolve
from pellucid.verify.evidence import Evidence
from pellucid.verify.findings import Findings, guarded
from pellucid.verify.remade import check_remade

__all__ = ["check_numbers"]

_LIST, _PAGE = "report/numbers.json", "report/index.html"
_AGAIN = "give `pellucid report RECIPE` again"
_MANY_FAULTS = 20
# Bounded, so that a page of nothing but open brackets takes no longer than another.
_ELEMENT = re.compile(r"<(?:a|span|td|text|tspan)\b([^<>]{1,8192})>([^<]{0,8192})</")
_ATTRIBUTE = re.compile(r'([a-z][a-z-]*)="([^"]*)"')


class _Number(NamedTuple):
    """One number of the report: where it is from, and its value as JSON text."""

    name: str
    file: str
    pointer: str
    value: bytes


def check_numbers(evidence: Evidence) -> Findings:
    """Resolve every pointer of the report again, compare the page's words with the list's; if deep, make all of it again."""
    findings = Findings(
        "report", "every number of the report stands in the artifact that it names, and on the page as listed", "numbers"
    )
    if "report" not in evidence.artifacts:
        return findings
    if evidence.has(_LIST):
        findings.checked.append(_LIST)
        guarded(findings, evidence.run / _LIST, lambda: _check_list(evidence, findings))
    elif evidence.has(_PAGE):
        findings.checked.append(_PAGE)
        guarded(findings, evidence.run / _PAGE, lambda: _check_all(evidence, _PAGE, list(_of_page(evidence)), findings))
    else:
        findings.note(f"neither {_LIST} nor {_PAGE} is there")
    if evidence.deep:
        guarded(findings, evidence.run / "report", lambda: check_remade(evidence, findings))
    else:
        findings.note("the report is made again, and its texts compared, with --deep")
    return findings


def _check_list(evidence: Evidence, findings: Findings) -> None:
    listed = evidence.tree.json(_LIST)["numbers"]
    found = [_Number(str(one["id"]), one["file"], one["pointer"], _canonical(one["value"])) for one in listed]
    _check_all(evidence, _LIST, found, findings)
    if not evidence.has(_PAGE):
        findings.note(f"{_PAGE} is not there, so what it shows was not compared")
        return
    shown = dict(_anchors(evidence))
    wrong = [one for one in listed if shown.get(one["id"]) != one["text"]]
    for one in wrong[:_MANY_FAULTS]:
        what = f"number {one['id']}: {_LIST} says {one['text']!r:.60}; the page shows {shown.get(one['id'])!r:.60}"
        findings.fault(evidence.run / _PAGE, what, _AGAIN)
    _rest(evidence, _PAGE, len(wrong), findings)


def _check_all(evidence: Evidence, where: str, numbers: list[_Number], findings: Findings) -> None:
    there = [number for number in numbers if not evidence.is_left_out(number.file)]
    documents, faults = _documents(evidence, there), 0
    for number in there:
        findings.looked += 1
        fault = _fault_of(number, documents)
        faults += fault is not None
        if fault is not None and faults <= _MANY_FAULTS:
            findings.fault(evidence.run / where, f"number {number.name}: {fault}", _AGAIN)
    absent = len(numbers) - len(there)
    _rest(evidence, where, faults, findings)
    if absent:
        findings.note(f"{absent} numbers are from files that are left out of this release")


def _rest(evidence: Evidence, where: str, faults: int, findings: Findings) -> None:
    if faults > _MANY_FAULTS:
        findings.fault(evidence.run / where, f"has {faults - _MANY_FAULTS} more numbers that do not hold", _AGAIN)


def _documents(evidence: Evidence, numbers: list[_Number]) -> dict[str, Any]:
    """Return the files that the numbers are from, parsed; of those with a record a line only the lines that are pointed to."""
    lines = dict[str, set[str]]()
    for number in numbers:
        if is_inside(number.file) and evidence.has(number.file):
            lines.setdefault(number.file, set()).add(number.pointer.split("/")[1] if "/" in number.pointer else "")
    documents = dict[str, Any]()
    for file, wanted in lines.items():
        if file.endswith(".jsonl"):
            records = enumerate(evidence.tree.records(file))
            documents[file] = {str(place): record for place, record in records if str(place) in wanted}
        else:
            documents[file] = evidence.tree.json(file)
    return documents


def _fault_of(number: _Number, documents: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a number; None when its artifact holds it."""
    place = f"{number.file}#{number.pointer}"
    if number.file not in documents:
        return f"{place} is not there"
    try:
        value = _canonical(resolve(documents[number.file], number.pointer))
    except (KeyError, IndexError, TypeError, ValueError):
        return f"{number.file} has nothing at {number.pointer}"
    if value != number.value:
        return f"{place} holds {value.decode()[:60]}; the report says {number.value.decode()[:60]}"
    return None


def _canonical(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _anchors(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Yield id and text of the page's elements that have an id and hold text alone."""
    for attributes, text in _elements(evidence):
        if "id" in attributes:
            yield attributes["id"], text


def _of_page(evidence: Evidence) -> Iterator[_Number]:
    """Yield the numbers of a page that carries file, pointer and value with each, as pages do that came without a list."""
    for attributes, text in _elements(evidence):
        if {"data-file", "data-pointer", "data-value"} <= attributes.keys():
            try:
                value = _canonical(orjson.loads(attributes["data-value"]))
            except orjson.JSONDecodeError as error:
                raise ArtifactError(f"{evidence.run / _PAGE}: the value beside {text!r:.60} is not JSON: {error}") from error
            yield _Number(repr(text[:40]), attributes["data-file"], attributes["data-pointer"], value)


def _elements(evidence: Evidence) -> Iterator[tuple[Mapping[str, str], str]]:
    page = evidence.tree.read(_PAGE).decode("utf-8", "replace")
    for match in _ELEMENT.finditer(page):
        yield {name: unescape(value) for name, value in _ATTRIBUTE.findall(match[1])}, unescape(match[2])
