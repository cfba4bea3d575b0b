from collections.abc import Callable
from pathlib import Path

from pellucid.release.account import Account
from pellucid.release.usage import usage


def test_each_export_that_is_there_has_its_commands(account: Account) -> None:
    text = usage(account, code=True)
    assert 'from_pretrained("exports/hf")' in text and "exports/gguf/model-F16.gguf" in text and "PYTHONPATH=code" in text
    assert "apply_chat_template" in text


def test_what_is_not_there_has_none(account_of: Callable[..., Account], finished_run: Path) -> None:
    text = usage(account_of(finished_run, without=("exports",)), code=False)
    assert "No weights are in this release." in text and "PYTHONPATH" not in text
