import argparse

from pellucid.cli.chat_arguments import chat_arguments
from pellucid.cli.engine_arguments import engine_arguments, serve_arguments


def names(add) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    add(parser)
    return vars(parser.parse_args([] if add is engine_arguments else ["runs/x"]))


def test_the_server_and_the_terminal_run_their_engines_by_the_same_flags() -> None:
    shared = names(engine_arguments)
    assert shared == {"context": None, "threads": None, "weights": "float32", "draft": None}
    for add in (serve_arguments, chat_arguments):
        found = names(add)
        assert {name: found[name] for name in shared} == shared
