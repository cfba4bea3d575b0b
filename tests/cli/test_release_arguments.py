import argparse

from pellucid.cli.release_arguments import release_arguments


def test_parts_and_names_may_be_given_several_times() -> None:
    parser = argparse.ArgumentParser()
    release_arguments(parser)
    found = parser.parse_args(
        ["runs/x", "out", "--without", "code", "--without", "items", "--public", "HOME", "--set", "release.licence=MIT"]
    )
    assert (found.run, found.dir, found.without, found.public) == ("runs/x", "out", ["code", "items"], ["HOME"])
    assert (found.overrides, found.checkpoints, found.force, found.allow_faults) == (["release.licence=MIT"], "final", False, False)
