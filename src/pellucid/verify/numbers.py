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
    """Resolve every pointer of the report again, and compare the page's words with the list's."""
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
    documents, faults, absent = dict[str, Any](), 0, 0
    for number in numbers:
        if evidence.is_left_out(number.file):
            absent += 1
            continue
        findings.looked += 1
        fault = _fault_of(evidence, number, documents)
        faults += fault is not None
        if fault is not None and faults <= _MANY_FAULTS:
            findings.fault(evidence.run / where, f"number {number.name}: {fault}", _AGAIN)
    _rest(evidence, where, faults, findings)
    if absent:
        findings.note(f"{absent} numbers are from files that are left out of this release")


def _rest(evidence: Evidence, where: str, faults: int, findings: Findings) -> None:
    if faults > _MANY_FAULTS:
        findings.fault(evidence.run / where, f"has {faults - _MANY_FAULTS} more numbers that do not hold", _AGAIN)


def _fault_of(evidence: Evidence, number: _Number, documents: dict[str, Any]) -> str | None:
    """Return what is wrong with a number; None when its artifact holds it."""
    place = f"{number.file}#{number.pointer}"
    if not is_inside(number.file) or not evidence.has(number.file):
        return f"{place} is not there"
    if number.file not in documents:
        tree = evidence.tree
        documents[number.file] = list(tree.records(number.file)) if number.file.endswith(".jsonl") else tree.json(number.file)
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
