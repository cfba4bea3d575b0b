"""Tiny served models for the talk in the terminal: real engines over random weights, and one that has learnt a sentence."""

import codecs
import dataclasses
import fcntl
import io
import os
import pty
import select
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid.export.probes import probe_texts
from pellucid.generate.torch_engine import TorchEngine
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.serve.model import ServedModel
from pellucid.tokenizer.bpe import BytePairTokenizer
from pellucid.tokenizer.chat import load_chat_format
from pellucid.tokenizer.training import train_bpe

SHAPE: dict[str, Any] = {
    "vocab_tokens": 600, "context_tokens": 128, "layers": 2, "hidden": 64, "heads": 2, "kv_heads": 2, "mlp_hidden": 64,
    "norm": "rmsnorm", "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False, "tied_head": False, "init_std": 0.1,
}  # fmt: skip


@pytest.fixture(scope="session")
def vocabulary() -> BytePairTokenizer:
    return train_bpe(probe_texts(), 600)


@pytest.fixture(scope="session")
def decoder(vocabulary: BytePairTokenizer) -> Decoder:
    """Random weights; the likeliest token is never an end."""
    torch.manual_seed(0)
    model = Decoder(ModelConfig(**SHAPE))
    init_weights(model, 3)
    with torch.no_grad():
        for id_ in vocabulary.special.values():
            model.head.weight[id_] = 0
    return model.eval()


@pytest.fixture(scope="session")
def tiny(decoder: Decoder, vocabulary: BytePairTokenizer) -> Iterator[ServedModel]:
    """A model that answers, with a context of 128 tokens."""
    engine = TorchEngine(decoder, slots=1)
    chat = load_chat_format("chatml", vocabulary, base=Path())
    yield ServedModel("tiny", engine, vocabulary, chat, vocabulary.eos_id, begins_texts=False, created=1)
    engine.close()


@pytest.fixture(scope="session")
def tiny_base(tiny: ServedModel) -> ServedModel:
    """The same weights as a base model."""
    return dataclasses.replace(tiny, name="tiny-base", chat=None)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let standard input be a pipe with this text."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


class Screen:
    """The keyboard and the screen of a child process."""

    def __init__(self, keys: int) -> None:
        self._keys = keys
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a read may end within a character
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self._keys, text.encode())

    def wait(self, text: str, seconds: float = 60.0) -> str:
        """Return what was shown up to a text since the last wait."""
        end = time.monotonic() + seconds
        while text not in self.shown:
            ready, _, _ = select.select([self._keys], [], [], max(0.0, end - time.monotonic()))
            try:
                part = os.read(self._keys, 65536) if ready else b""
            except OSError:  # the child has gone
                part = b""
            assert part, f"{text!r} is not in {self.shown!r}"
            self.shown += self._decoder.decode(part)
        before, found, self.shown = self.shown.partition(text)
        return before + found


@pytest.fixture
def screen() -> Callable[..., AbstractContextManager[Screen]]:
    """Run a command behind a pseudo-terminal."""
    return _screen


@contextmanager
def _screen(command: list[str], **environment: str) -> Iterator[Screen]:
    keys, inner = pty.openpty()
    known = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    child = subprocess.Popen(
        command, stdin=inner, stdout=inner, stderr=inner, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal
        env={**known, "TERM": "xterm-256color", "COLUMNS": "100", "INPUTRC": os.devnull, **environment},
    )  # fmt: skip
    os.close(inner)
    try:
        yield Screen(keys)
    finally:
        child.kill()
        child.wait()
        os.close(keys)


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Ctrl-C means what it does in a terminal, also where tests are run in the background, which inherit that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
