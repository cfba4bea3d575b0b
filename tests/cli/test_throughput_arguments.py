import argparse

from pellucid.cli.throughput_arguments import throughput_arguments


def test_batches_and_programs_may_be_given_several_times() -> None:
    parser = argparse.ArgumentParser()
    throughput_arguments(parser)
    found = parser.parse_args(["runs/x", "--batch", "1", "--batch", "8", "--only", "llama.cpp", "--only", "MLX"])
    assert (found.targets, found.batch, found.only) == (["runs/x"], [1, 8], ["llama.cpp", "MLX"])
    assert (found.prompt_tokens, found.new_tokens, found.rounds, found.served) == (256, 64, 5, False)
