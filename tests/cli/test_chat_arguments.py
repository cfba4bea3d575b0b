import argparse

import pytest

from pellucid.cli.chat_arguments import chat_arguments
from pellucid.cli.main import main


def test_the_help_teaches_by_examples_and_names_what_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "--help"]) == 0
    shown = capsys.readouterr().out
    for word in ("TARGET", "--load FILE", "model-Q4_0.gguf", "/retry", "/tokens", "Ctrl-C stops an answer"):
        assert word in shown


def test_what_was_asked_for_before_means_what_it_meant() -> None:
    parser = argparse.ArgumentParser()
    chat_arguments(parser)
    old = ["runs/x", "--prompt", "a", "--system", "b", "--new-tokens", "3", "--temperature", "0", "--top-k", "9", "--seed", "2"]
    found = parser.parse_args(old)
    assert (found.target, found.prompt, found.system, found.new_tokens) == ("runs/x", "a", "b", 3)
    assert (found.temperature, found.top_k, found.seed) == (0.0, 9, 2)
