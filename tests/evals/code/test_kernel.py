import errno
import os
import sys
from collections.abc import Callable

import pytest

from pellucid.evals.code import kernel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="calls to the Linux kernel")

Alone = Callable[..., str]


def test_a_system_call_by_number_answers_and_a_refused_one_says_why() -> None:
    number = {"x86_64": 39, "aarch64": 172}[os.uname().machine]
    assert kernel.syscall(number) == os.getpid()
    with pytest.raises(OSError, match="mount /nowhere") as refused:
        kernel.mount("none", "/nowhere", "tmpfs", 0)
    assert refused.value.errno in (errno.ENOENT, errno.EPERM)


def test_capabilities_and_new_privileges_are_given_up_for_good(alone: Alone) -> None:
    shown = alone(
        "from pellucid.evals.code import kernel\n"
        "kernel.no_new_privileges()\nkernel.drop_capabilities()\nprint(open('/proc/self/status').read())"
    )
    facts = dict(line.split(":\t") for line in shown.splitlines() if ":\t" in line)
    assert facts["NoNewPrivs"] == "1"
    assert {int(facts[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    if os.geteuid() == 0:
        assert int(facts["CapBnd"], 16) == 0
