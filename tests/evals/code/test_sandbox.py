from typing import Any

from pellucid.evals.code.sandbox import Sandbox


def test_a_hostile_program_achieves_nothing(hostile: Any, world: Any, sandbox: Sandbox) -> None:
    outcome = sandbox.run(world.program(hostile), world.check())
    assert outcome.status not in ("passed", "refused"), outcome
    assert not world.escapes(outcome), (hostile.about, outcome)


def test_without_the_sandbox_the_same_program_is_seen_to_achieve_it(control: Any, world: Any) -> None:
    outcome = world.run_without_sandbox(control)
    assert world.escapes(outcome), (control.about, outcome)
