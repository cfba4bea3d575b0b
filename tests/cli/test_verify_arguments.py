import argparse

from pellucid.cli.verify_arguments import verify_arguments


def test_nothing_is_opened_or_trained_unless_it_is_asked_for() -> None:
    parser = argparse.ArgumentParser()
    verify_arguments(parser)
    found = parser.parse_args(["runs/x"])
    assert (found.run, found.deep, found.exports, found.replay, found.json) == ("runs/x", False, False, None, False)
    found = parser.parse_args(["runs/x", "--replay", "20", "--stage", "sft", "--step", "0", "--seed", "3"])
    assert (found.replay, found.stage, found.step, found.seed) == (20, "sft", 0, 3)
