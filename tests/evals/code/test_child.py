from collections.abc import Callable

import pytest

from pellucid.evals.code.child import check_namespace, judge
from pellucid.evals.code.job import Check
from pellucid.evals.code.remote import Caller

Serving = Callable[[str], Caller]
PROGRAM = "def double(x):\n    return 2 * x\n\ndef sum(x):\n    return 'mine'\n"


def test_a_check_that_runs_to_its_end_is_passed(serving: Serving) -> None:
    assert judge(Check("assert double(2) == 4\n", ("double",)), serving(PROGRAM)) == {"status": "passed", "excerpt": ""}


@pytest.mark.parametrize(
    ("code", "excerpt"),
    [
        ("x = 1\nassert double(2) == 5\n", "does not hold: assert double(2) == 5"),
        ("assert double(2) == 5, 'four'\n", "four"),
        ("assert double(None)\n", "TypeError"),
        ("assert undefined\n", "NameError"),
        ("raise SystemExit(0)\n", "SystemExit"),
    ],
)
def test_anything_else_has_failed_and_says_what_did_not_hold(serving: Serving, code: str, excerpt: str) -> None:
    verdict = judge(Check(code, ("double",)), serving(PROGRAM))
    assert verdict["status"] == "failed"
    assert excerpt in verdict["excerpt"]


def test_memory_that_ran_out_is_told_apart(serving: Serving) -> None:
    assert judge(Check("f()\n", ("f",)), serving("def f():\n    raise MemoryError\n"))["status"] == "memory"


def test_the_names_of_a_check_are_its_setups_the_programs_and_unimported_modules(serving: Serving) -> None:
    caller = serving(PROGRAM)
    caller.run()
    check = Check(
        "assert math.pi and helper and sum and double", ("double", "sum"), setup="def helper():\n    return 1\ndef double(): pass"
    )
    namespace = check_namespace(check, caller)
    assert namespace["math"].floor(2.5) == 2
    assert namespace["helper"]() == 1
    assert namespace["double"](4) == 8, "what the program defines comes before the setup's stub"
    assert namespace["sum"]([1]) == "mine", "and before a builtin"
