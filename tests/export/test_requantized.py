import logging

import pytest

from pellucid.core.errors import MissingExtraError
from pellucid.export.requantized import need, write_requantized

transformers = pytest.importorskip("transformers")


def test_a_package_that_is_missing_is_named_with_its_extra():
    need(("torch",), "a test")
    with pytest.raises(MissingExtraError, match=r"a test needs the package no-such-package.*pellucid\[quant\]"):
        need(("torch", "no-such-package"), "a test")


def test_a_failure_leaves_no_part_and_everyones_logging_as_it_was(stablelm, tokenizer, tmp_path):
    level, verbosity = logging.getLogger("bitsandbytes").level, transformers.utils.logging.get_verbosity()
    with pytest.raises((AttributeError, TypeError, ValueError)):
        write_requantized(stablelm.state, stablelm.config, tokenizer, tmp_path / "x", object())
    assert list(tmp_path.iterdir()) == []
    assert logging.getLogger("bitsandbytes").level == level
    assert transformers.utils.logging.get_verbosity() == verbosity
