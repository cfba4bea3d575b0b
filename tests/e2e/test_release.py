"""A run made and released with private values all around it: none of them is in any byte, and what its model card says works."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pellucid.release.encodings import forms_of
from pellucid.release.streams import contents_of

pytest.importorskip("cyclonedx")
ROOT = Path(__file__).parents[2]
CANARIES = {
    "HF_TOKEN": "hf_CaNaRyQwErTyUiOpAsDfGhJkL",
    "AWS_SECRET_ACCESS_KEY": "cAnArY/aws+secret/0123456789=",
    "WANDB_API_KEY": "0ddba11cafef00dfeedfacedeadbeef012345678",
    "GRANDMOTHERS_RECIPE": "cAnArY: seven eggs & <no> sugar",
    "USER": "canary-user-name",
    "LOGNAME": "canary-user-name",
    "HOSTNAME": "canary-host-name.example",
}
HOST = "canary-machine-name"
# Whatever asks Python for the machine's name is given one that can be found.
SITE = f"""
import os, platform, socket
_true = os.uname()
os.uname = lambda: os.uname_result((_true.sysname, {HOST!r}, _true.release, _true.version, _true.machine))
socket.gethostname = lambda: {HOST!r}
platform.node = lambda: {HOST!r}
"""


def environment(folder: Path) -> dict[str, str]:
    (folder / "site").mkdir(exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(SITE)
    home = folder / "canary-home"
    home.mkdir(exist_ok=True)
    path = os.pathsep.join([str(folder / "site"), str(ROOT / "src")])
    return {**os.environ, **CANARIES, "HOME": str(home), "PYTHONPATH": path}


def call(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pellucid", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def canary_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run and its release, both made with the canaries in the environment, in places named after canaries."""
    folder = tmp_path_factory.mktemp("canary-working-folder")
    # The recipe names its sources relative to itself, as recipes that are published do; the checkout's path is a canary too.
    call(folder, "run", str(ROOT / "recipes" / "pocket-smoke.yaml"), "--runs", "canary-runs")
    call(folder, "release", "canary-runs/pocket-smoke", "out", "--set", "release.licence=MIT", "--checkpoints", "all")
    return folder


def files_of(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.is_file())


def test_no_canary_is_in_any_byte_of_run_or_release(canary_folder: Path) -> None:
    values = {**CANARIES, "machine": HOST, "home": str(canary_folder / "canary-home"), "checkout": str(ROOT)}
    values |= {"working folder": str(canary_folder), "runs": "canary-runs"}
    forms = {name: forms_of(value) for name, value in values.items()}
    leaks = []
    for file in files_of(canary_folder / "out"):
        for inside, chunks in contents_of(file):
            data = b"".join(chunks)
            leaks += [f"{name} in {file.name} ({inside})" for name, wanted in forms.items() if any(form in data for form in wanted)]
    assert leaks == []


def test_the_search_of_this_test_finds_a_canary_that_is_there(canary_folder: Path, tmp_path: Path) -> None:
    import gzip

    (tmp_path / "x.gz").write_bytes(gzip.compress(CANARIES["HF_TOKEN"].encode("utf-16-le")))
    found = [b"".join(chunks) for _, chunks in contents_of(tmp_path / "x.gz")]
    assert any(form in data for data in found for form in forms_of(CANARIES["HF_TOKEN"]))


def blocks(card: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", card, re.DOTALL)


def run_in(folder: Path, command: list[str], tools: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(tools), os.environ["PATH"]])
    environ = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with the command `pellucid`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "pellucid").write_text(f'#!/bin/sh\nexec {sys.executable} -m pellucid "$@"\n')
    (folder / "pellucid").chmod(0o755)
    return folder


def test_every_command_of_the_model_card_works(canary_folder: Path, tools: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    release = tmp_path / "release"
    shutil.copytree(canary_folder / "out", release)
    card = (release / "README.md").read_text()
    (program,) = blocks(card, "python")
    done = run_in(release, [sys.executable, "-c", program], tools)
    assert done.returncode == 0, done.stderr
    shell = [line for block in blocks(card, "bash") for line in block.splitlines()]
    assert len(shell) == 3
    for line in shell:
        done = run_in(release, ["sh", "-c", line], tools)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def test_the_code_in_a_release_checks_it(canary_folder: Path, tmp_path: Path) -> None:
    release = tmp_path / "release"
    shutil.copytree(canary_folder / "out", release)
    command = [sys.executable, "-B", "-m", "pellucid", "verify", "."]
    environ = {**os.environ, "PYTHONPATH": "code"}
    assert subprocess.run(command, cwd=release, env=environ, capture_output=True).returncode == 0
    (release / "data-cards" / "chatterbot.en.md").write_text("better")
    done = subprocess.run(command, cwd=release, env=environ, capture_output=True, text=True)
    assert done.returncode == 1 and "chatterbot.en.md" in done.stdout + done.stderr
