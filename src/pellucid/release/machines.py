"""What a run was trained on, as its training stages wrote it down: processor, cores and system, and the devices that computed."""

import re
from contextlib import suppress
from typing import Any

import orjson

from pellucid.core.files import whole_lines
from pellucid.release.account import Account

__all__ = ["trained_on"]

_SHEET = re.compile(r"data sheet of ([^,]+)")
_KINDS = {"cuda": "GPU"}


def trained_on(account: Account) -> list[str]:
    """Return the machine of each training stage in words, as its manifest and the first lines of its attempts tell it.

    One entry where all stages had the same, else one a stage. Stages that are not finished are left out.
    """
    told = {
        stage.name: _of_stage(account, stage.name, account.manifests[stage.name].environment)
        for stage in account.recipe.train
        if stage.name in account.manifests
    }
    if len(set(told.values())) <= 1:
        return list(told.values())[:1]
    return [f"{name}: {machine}" for name, machine in told.items()]


def _of_stage(account: Account, stage: str, environment: dict[str, Any]) -> str:
    devices = dict.fromkeys(_device(record) for record in _beginnings(account, stage))
    cores = environment.get("cores")
    machine = (environment.get("processor"), None if cores is None else f"{cores} cores", environment.get("system"))
    told = ", ".join(str(part) for part in machine if part) or "a machine that was not written down"
    return f"{told}; computed on {', then on '.join(devices)}" if devices else told


def _beginnings(account: Account, stage: str) -> list[dict[str, Any]]:
    """The records with which attempts at a stage began: where they computed may differ from one to the next."""
    path = account.run / stage / "metrics.jsonl"
    if not path.is_file():
        return []
    records = []
    for _, line in whole_lines(path):
        if b'"event"' in line:
            with suppress(orjson.JSONDecodeError):  # of a run that does not verify, which the card says already
                records.append(orjson.loads(line))
    return [record for record in records if record.get("event") in ("start", "resume") and record.get("device")]


def _device(record: dict[str, Any]) -> str:
    kind = str(record["device"]).partition(":")[0]
    precision = f" in {record['precision']}" if record.get("precision") else ""
    if kind == "cpu":
        return f"the processor{precision}"
    count = int(record.get("ranks", 1))
    sheet = _SHEET.search(str(record.get("peak_source", "")))
    known = f" ({sheet[1]})" if sheet else ""
    name = _KINDS.get(kind, f"{kind} device")
    return f"{'one' if count == 1 else count} {name}{'' if count == 1 else 's'}{known}{precision}"
