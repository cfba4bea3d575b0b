"""Check a finished run from its folder alone: bytes, ledger, recipe, receipts, scores, exports, report, each against the others."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from pellucid.batches.examples import ExampleOrder
from pellucid.batches.order import DataOrder
from pellucid.core.progress import track
from pellucid.recipe.training import TrainStageConfig
from pellucid.stages.examples import example_order
from pellucid.stages.orders import data_order, orders_before
from pellucid.verify.certificates import check_certificates
from pellucid.verify.chain import check_chain
from pellucid.verify.costs import check_costs
from pellucid.verify.counts import check_counts
from pellucid.verify.digests import check_digests
from pellucid.verify.evidence import Evidence
from pellucid.verify.findings import Findings
from pellucid.verify.forecast import check_plan
from pellucid.verify.lineage import check_lineage
from pellucid.verify.numbers import check_numbers
from pellucid.verify.receipts import Orders, check_receipts
from pellucid.verify.release import check_release
from pellucid.verify.scores import check_scores

__all__ = ["CHECKS", "Verification", "verify_run"]


@dataclass(frozen=True)
class Verification:
    """What was looked at and what does not hold, one line each; and the same check by check.

    `checked` are the artifacts (folders of the run) and the ledger, `notes` what is no fault: what could not be looked at, and why.
    """

    checked: list[str]
    faults: list[str]
    checks: list[Findings] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


CHECKS: dict[str, Callable[[Evidence], Findings]] = {
    "files": check_digests,
    "release": check_release,
    "ledger": check_chain,
    "account": check_costs,
    "recipe": check_lineage,
    "counts": check_counts,
    "receipts": lambda evidence: check_receipts(evidence, _orders(evidence)),
    "scores": check_scores,
    "exports": check_certificates,
    "report": check_numbers,
    "plan": check_plan,
}
"""The checks by name, in the order in which they are made."""


def verify_run(run: Path, *, deep: bool = False, without: Collection[str] = (), shows: bool = True) -> Verification:
    """Read every byte under `run` and compare all that it says with all else that it says; nothing is written, nothing is run.

    With `deep` what takes longer than reading is done as well: every training step's sequences are gone through, every index of
    documents is opened, the plan is made again. `without` names checks, or folders of the run, that are not looked at; `shows` is
    whether there is a progress bar.
    """
    started = time.monotonic()
    evidence = Evidence(run, deep=deep, without=frozenset(without) - CHECKS.keys() | ({"report"} & set(without)))
    wanted = [name for name in CHECKS if name not in without]
    checks = [CHECKS[name](evidence) for name in (track(wanted, "verify", len(wanted), "checks") if shows else wanted)]
    artifacts = ("files", "ledger")
    return Verification(
        checked=[name for one in checks if one.name in artifacts for name in one.checked],
        # A file is named once for each thing that is wrong with it, whoever found out.
        faults=list(dict.fromkeys(fault for one in checks for fault in one.faults)),
        checks=checks,
        notes=[note for one in checks for note in one.notes],
        seconds=round(time.monotonic() - started, 3),
    )


def _orders(evidence: Evidence) -> Orders:
    recipe, run = evidence.recipe, evidence.run

    def order_of(stage: TrainStageConfig) -> DataOrder | ExampleOrder:
        assert recipe is not None, "without a recipe there are no stages"
        if stage.learns_from_text:
            return data_order(recipe, stage, run)
        # What fills a sequence up carries no target, whichever token it is.
        return example_order(recipe, stage, run, pad_id=0)

    def before(stage: TrainStageConfig) -> list[tuple[DataOrder, int]]:
        assert recipe is not None, "without a recipe there are no stages"
        return orders_before(recipe, stage, run)

    return Orders(order_of, before)
