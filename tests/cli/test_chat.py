import io
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pellucid.cli.main import main
from pellucid.export.hf import ChatExport, write_hf
from pellucid.generate.decoding import generate
from pellucid.model.decoder import Decoder
from pellucid.serve.model import ServedModel
from pellucid.stages.subjects import find_target, open_model


@pytest.fixture
def base_run(run_copy: Path) -> Path:
    """A run that stopped before it learnt from conversations."""
    for stage in ("sft", "dpo", "self_knowledge"):
        shutil.rmtree(run_copy / stage)
    return run_copy


@pytest.fixture(scope="session")
def folder(tiny: ServedModel, decoder: Decoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of a tiny model that goes on for 8192 tokens when its likeliest are taken."""
    path = tmp_path_factory.mktemp("export") / "tiny"
    assert tiny.chat is not None
    chat = ChatExport(tiny.chat.exported, tiny.chat.stop_ids)
    config = decoder.config.model_copy(update={"context_tokens": 8192})
    write_hf(decoder.state_dict(), config, tiny.tokenizer, path, chat=chat)
    return path


def test_a_prompt_is_answered_without_repeating_it_and_the_seed_decides_how(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for seed in (["--seed", "1"], [], ["--seed", "2"]):
        command = ["chat", str(folder), "--prompt", "Who are you?", "--new-tokens", "20", "--system", "Be brief.", *seed]
        assert main(command) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]
    assert "Who are you?" not in texts[0] and "Be brief." not in texts[0]


def test_lines_are_messages_until_an_empty_one(
    folder: Path, capsys: pytest.CaptureFixture[str], typed: Callable[[str], None]
) -> None:
    typed("Hello\n/nothing\n/reset\n/show\nHallo\n\nnot read\n")
    assert main(["chat", str(folder), "--new-tokens", "3"]) == 1, "/nothing could not be done"
    shown = capsys.readouterr().out
    assert "[tiny, torch, 8192 tokens of context. /help lists what else can be typed; Ctrl-D leaves.]" in shown
    assert "[/nothing is no command" in shown and "[the conversation begins anew]" in shown and "not read" not in shown
    assert shown.count("cut off after 3 tokens") == 2


def test_a_line_of_a_pipe_that_cannot_be_answered_costs_no_other_and_is_in_the_exit_status(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b"Hello\n\xff\n//etc\n/show\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines), encoding="utf-8"))
    assert main(["chat", str(folder), "--new-tokens", "3"]) == 1
    shown = capsys.readouterr().out
    assert "[the input is not UTF-8" in shown and "> Hello\n" in shown and "> /etc\n" in shown


@pytest.mark.parametrize("end", ["", "/quit\nnot read\n"])
def test_the_end_of_the_input_and_quit_end_it(
    end: str, folder: Path, capsys: pytest.CaptureFixture[str], typed: Callable[[str], None]
) -> None:
    typed(f"Hello\n{end}")
    assert main(["chat", str(folder), "--new-tokens", "3"]) == 0
    assert "not read" not in capsys.readouterr().out


def test_a_conversation_goes_on_from_a_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: Callable[[str], None]
) -> None:
    path = tmp_path / "talk.json"
    typed(f"One\nTwo\n/save {path}\n/retry\n")
    assert main(["chat", str(folder), "--new-tokens", "5"]) == 0
    retried = capsys.readouterr().out.strip().splitlines()[-1]
    typed("/retry\n")
    # Its settings come from the file, not from the flags' defaults.
    assert main(["chat", str(folder), "--load", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "> One\n" in shown and shown.strip().splitlines()[-1] == retried
    assert main(["chat", str(folder), "--load", str(path), "--prompt", "Three"]) == 0
    assert "> One" not in capsys.readouterr().out
    typed("/show\n")
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"messages": [{"role": "user", "content": "Hi"}]}))
    assert main(["chat", str(folder), "--load", str(path)]) == 0
    assert capsys.readouterr().out.count("> Hi") == 2


@pytest.mark.parametrize(
    "wrong",
    [
        ["--new-tokens", "0"], ["--temperature", "-1"], ["--top-k", "0"], ["--top-p", "0"], ["--min-p", "2"], ["--context", "0"],
        ["--load", "no-such-file.json"], ["--stop", ""], ["--repetition-penalty", "0"],
    ],
)  # fmt: skip
def test_settings_outside_their_range_are_refused_before_anything_is_loaded(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", "no-such-model", "--prompt", "x", *wrong]) == 2
    assert "no-such-model" not in capsys.readouterr().err


def test_what_is_no_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", str(tmp_path), "--prompt", "x"]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_a_gguf_file_is_talked_to_in_llama_cpp(
    tiny: ServedModel, decoder: Decoder, tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: Callable[[str], None]
) -> None:
    pytest.importorskip("xllamacpp")
    from pellucid.export.gguf import write_gguf

    assert tiny.chat is not None
    chat = ChatExport(tiny.chat.exported, tiny.chat.stop_ids)
    write_gguf(decoder.state_dict(), decoder.config, tiny.tokenizer, tmp_path / "tiny.gguf", dtype="F32", name="tiny", chat=chat)
    typed("Hello\n/tokens\n")
    assert main(["chat", str(tmp_path / "tiny.gguf"), "--new-tokens", "6", "--temperature", "0", "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    ids = tiny.chat.prompt([{"role": "user", "content": "Hello"}])
    answer = tiny.tokenizer.decode(list(generate(decoder, ids, max_new_tokens=6, temperature=0)))
    assert "[tiny, llama.cpp, 128 tokens of context." in shown and f"\n{answer} [cut off after 6" in shown
    assert "6 tokens, perplexity" in shown


def test_a_run_answers_and_its_first_stage_continues_text(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", str(finished_run), "--prompt", "Who are you?", "--new-tokens", "8", "--system", "Be brief."]) == 0
    shown = capsys.readouterr().out
    assert shown.strip() and "Who are you?" not in shown
    alone = open_model(find_target(finished_run / "pretrain"))
    ids = [alone.tokenizer.eos_id, *alone.tokenizer.encode("Die Würde")]
    expected = alone.tokenizer.decode(list(generate(alone.model, ids, max_new_tokens=8, temperature=0)))
    command = ["chat", str(finished_run / "pretrain"), "--prompt", "Die Würde", "--new-tokens", "8", "--temperature", "0"]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith(f"Die Würde{expected}")
    assert main(["chat", str(finished_run / "pretrain"), "--prompt", "x", "--system", "Be brief."]) == 2
    assert "base model" in capsys.readouterr().err


def test_a_base_run_continues_each_line_by_itself(
    base_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\nHallo\n\nnot read\n"))
    assert main(["chat", str(base_run), "--new-tokens", "3"]) == 0
    shown = capsys.readouterr().out
    assert "base model" in shown and "not read" not in shown
    assert "\nHello" in shown and "\nHallo" in shown
    assert main(["chat", str(base_run), "--prompt", "word " * 500, "--new-tokens", "3"]) == 0
    assert "context of 128 tokens is full" in capsys.readouterr().out


def test_on_a_terminal_answers_stream_stop_and_can_be_looked_at(
    folder: Path, tmp_path: Path, screen: Callable[..., AbstractContextManager[Any]]
) -> None:
    """A whole talk behind a pseudo-terminal: Ctrl-C at the prompt and in an answer, an edit by line editing, colours, files."""
    pytest.importorskip("readline")
    command = [sys.executable, "-m", "pellucid", "chat", str(folder), "--temperature", "0", "--new-tokens", "4", "--threads", "1"]
    with screen(command) as child:
        child.wait("> ")
        time.sleep(0.5)  # a signal between the prompt and the first look for keys is seen by Python with the next key only
        child.type("\x03")
        child.wait("so does another Ctrl-C]")
        child.wait("> ")
        child.type("Hello\r")
        child.wait("[cut off after 4 tokens")
        child.wait("> ")
        child.type("/edit\r")
        child.wait("> Hello")
        child.type(" there\r")
        child.wait("[cut off after 4 tokens")
        child.wait("> ")
        child.type("\r")  # an empty line asks again
        child.wait("> ")
        child.type("/tokens\r")
        assert "\x1b[" in child.wait("perplexity")
        child.wait("> ")
        child.type(f"/save {tmp_path}/talk.json\r")
        child.wait("[saved in")
        child.wait("> ")
        child.type("/new-tokens 8000\r")
        child.wait("> ")
        child.type("A long one\r")
        child.wait("A long one\r\n")
        child.wait(" ")
        child.type("\x03")
        child.wait("[stopped by you]")
        child.wait("> ")
        child.type("/save\r")
        child.wait("[saved in")
        child.wait("> ")
        child.type("\x04")
    kept = json.loads((tmp_path / "talk.json").read_text(encoding="utf-8"))
    assert [one["content"] for one in kept["messages"] if one["role"] == "user"] == ["Hello there", "A long one"]
    assert kept["messages"][-1]["end"] == "stopped" and kept["messages"][-1]["content"]


def test_ctrl_c_ends_one_answer_to_a_prompt_with_its_own_status(folder: Path) -> None:
    command = [sys.executable, "-m", "pellucid", "chat", str(folder), "--prompt", "Hello", "--new-tokens", "8000", "--threads", "1"]
    child = subprocess.Popen([*command, "--temperature", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        first = child.stdout.read(1)
        child.send_signal(signal.SIGINT)
        rest, errors = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130 and rest.endswith(" [stopped by you]\n") and first and not errors
