"""The section about what was checked when the report was made, and how to check it again."""

from pellucid.core.units import format_bytes
from pellucid.recipe.recipe import Recipe
from pellucid.report.blocks import Block, Cell, Section
from pellucid.report.facts import Facts
from pellucid.report.markup import note, paragraph, section, table
from pellucid.report.sections import whole

__all__ = ["VERIFICATION", "verified"]

VERIFICATION = "report/verification.json"


def verified(facts: Facts, recipe: Recipe) -> Section | None:
    """Each check with what it proves, what it looked at and what does not hold; None where nothing was checked."""
    if not facts.has(VERIFICATION):
        return None
    found = facts.document(VERIFICATION)
    rows: list[list[Cell]] = []
    for number, check in enumerate(found["checks"]):
        if not check["looked"] and not check["faults"]:
            continue
        looked = facts.get(VERIFICATION, "checks", number, "looked", show=whole)
        faults = facts.get(VERIFICATION, "checks", number, "faults", show=whole)
        rows.append([check["name"], check["proves"], (looked, f" {check['unit']}"), faults])
    parts: list[Block] = [
        paragraph(
            "When this report was made, ",
            facts.get(VERIFICATION, "artifacts", show=whole),
            " artifacts were read again, ",
            facts.get(VERIFICATION, "bytes", show=format_bytes),
            ", and compared with what they say of each other. pellucid verify RUN does it again and then looks up the report's "
            "own numbers too; --deep makes the order of the data and the plan again, --replay N trains N steps again and demands "
            "the same bits. It works on a copy of the folder, without the machine that the run was made on.",
        ),
        table(("Check", "What holds", "Looked at", "Faults"), rows, caption="The checks and what they found.", numbers_from=2),
    ]
    parts += [paragraph(f"Does not hold: {fault}") for fault in found["faults"]]
    parts += [note(f"Worth knowing: {text}.") for text in found["notes"]]
    return section("verification", "Does it verify?", *parts)
