"""The command line stays light, and its flags change only on purpose."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from pellucid.cli.main import build_parser

FLAGS = Path(__file__).parent / "flags.json"
HEAVY = ("torch", "numpy", "pydantic", "pyarrow", "tiktoken", "rich", "yaml", "transformers", "matplotlib")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, io, contextlib\n"
        "from pellucid.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    status = main(['--help'])\n"
        f"heavy = sorted(set(sys.modules) & set({HEAVY!r}))\n"
        "assert status == 0, status\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def flags_of(parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    found = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                found[name] = sorted(
                    ", ".join(option.option_strings) or option.dest for option in child._actions if option.dest != "help"
                )
    return dict(sorted(found.items()))


def test_the_set_of_flags_is_the_recorded_one() -> None:
    assert flags_of(build_parser()) == json.loads(FLAGS.read_text()), (
        "changed on purpose? update tests/arch/flags.json and CHANGELOG.md"
    )


def test_every_command_and_flag_explains_itself() -> None:
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                assert child.description, name
                assert child.epilog, f"{name} shows no example"
                for option in child._actions:
                    assert option.help, f"{name} {option.dest}"
