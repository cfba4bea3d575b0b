"""Everything that opens a model: the commands themselves through the command line, and the runtimes of certificates.

Each takes a path and returns a word about what it read; it raises `PellucidError` where it refuses.
"""

import io
import json
import os
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

from pellucid.core.errors import PellucidError

__all__ = ["OPENERS", "prepare"]

_TALK = [{"role": "user", "content": "Is it so?"}]
_TRACEBACK = "Traceback (most recent call last)"


def prepare() -> None:
    """Import what most openers need, before anything is forked. Nothing here may start a thread."""
    os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", OPENVINO_TELEMETRY_DISABLED="1")
    import gguf  # noqa: F401
    import lm_eval  # noqa: F401
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: F401
    from transformers.utils import chat_template_utils  # noqa: F401

    import pellucid.cli.chat
    import pellucid.cli.evaluate
    import pellucid.cli.serve
    import pellucid.cli.verify
    import pellucid.stages.certificates
    import pellucid.stages.suites  # noqa: F401

    with suppress(ImportError):
        # It forks on import, to tell its makers of it.
        import openvino  # noqa: F401

    torch.set_num_threads(1)


def command(*words: str) -> str:
    """Run a command as the shell would; its error is what it prints."""
    from pellucid.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(words)
    said = err.getvalue()
    if _TRACEBACK in said or _TRACEBACK in out.getvalue():
        raise RuntimeError(f"pellucid {' '.join(words)} printed a traceback: {said}")
    if status:
        raise PellucidError(said + (out.getvalue() if words[0] == "verify" else ""))
    return f"pellucid {words[0]}: {out.getvalue()[-300:]}"


def evaluate(path: Path) -> str:
    return command("evaluate", str(path), "--suite", "reflection", "--limit", "1", "--out", "results", *_SMALL)


_SMALL = ("--set", "reflection.problems=2", "--set", "reflection.forms=[likelihood]", "--set", "reflection.shots=0")


def chat(path: Path) -> str:
    return command("chat", str(path), "--prompt", "hi", "--new-tokens", "2")


def serve(path: Path) -> str:
    """Serve until one request is answered, then stop as by Ctrl-C's kinder sister."""
    from pellucid.cli.main import main

    out, err, asked = io.StringIO(), io.StringIO(), []

    def visit() -> None:
        while not (found := re.search(r"http://[\d.]+:\d+", out.getvalue())):
            time.sleep(0.05)
        for place, body in (("completions", {"prompt": "a"}), ("chat/completions", {"messages": _TALK})):
            data = json.dumps({**body, "max_tokens": 2}).encode()
            request = urllib.request.Request(f"{found[0]}/v1/{place}", data, {"Content-Type": "application/json"})
            try:
                with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
                    asked.append(str(answer.status))
            except Exception as error:
                asked.append(str(error))
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=visit, daemon=True).start()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(["serve", str(path), "--port", "0", "--slots", "1", "--context", "64"])
    if _TRACEBACK in err.getvalue():
        raise RuntimeError(err.getvalue())
    if status not in (0, 143):
        raise PellucidError(err.getvalue())
    return f"served: {' and '.join(asked)}"


def like(path: Path) -> str:
    """Plan a run whose model has the shape of this one, and whose vocabulary is the one beside it."""
    kind = "gguf" if path.is_file() else "huggingface" if (path / "tokenizer.json").exists() else "sentencepiece"
    recipe = Path("recipe.yaml")
    extends = next(parent / "recipes" for parent in Path(__file__).resolve().parents if (parent / "recipes").is_dir())
    recipe.write_text(
        f"name: hostile\nextends: {extends / 'pocket-smoke.yaml'}\nmodel: {{like: {path}}}\n"
        f"tokenizer: {{kind: {kind}, path: {path}, vocab_tokens: 600}}\n"
    )
    return command("explain", str(recipe))


def tokenizer(path: Path) -> str:
    """Take the vocabulary over, as the stage `tokenizer` does: read it, use it, write it into a folder, read that again."""
    from pellucid.stages.subjects import vocabulary_beside
    from pellucid.tokenizer.tokenizer import load_tokenizer

    beside = vocabulary_beside(path)
    beside.tokenizer.save(Path("taken-over"))
    ids = load_tokenizer(Path("taken-over")).encode("What a piece of work is a man! 0123 éß漢")
    return f"{len(ids)} ids, {'a' if beside.chat else 'no'} chat format"


def weights(path: Path) -> str:
    """Import the weights, as `init_from` does."""
    from pellucid.checkpoint.models import load_weights
    from pellucid.checkpoint.weights import describe_weights, weights_digest
    from pellucid.model.decoder import Decoder

    model = Decoder(describe_weights(path))
    load_weights(model, path)
    return weights_digest(path)[:12]


def back(path: Path) -> str:
    from pellucid.export.read_back import read_back
    from pellucid.recipe.like import describe_weights

    return f"{len(read_back(path, describe_weights(path)).tensors)} tensors"


def in_transformers(path: Path) -> str:
    from pellucid.export.runtimes.hf import TransformersRuntime

    with TransformersRuntime(path) as runtime:
        return f"{len(runtime.encode('What is it?'))} ids, {runtime.encode_chat(_TALK)}, {runtime.log_probabilities([1, 2]).shape}"


def in_llama_cpp(path: Path) -> str:
    from pellucid.export.runtimes.llama_cpp import LlamaCppRuntime

    with LlamaCppRuntime(path, 64) as runtime:
        return f"{len(runtime.encode('What is it?'))} ids, {runtime.encode_chat(_TALK)}, {runtime.log_probabilities([1, 2]).shape}"


def in_mlx(path: Path) -> str:
    from pellucid.export.runtimes.mlx import MlxRuntime

    with MlxRuntime(path) as runtime:
        return f"{len(runtime.encode('What is it?'))} ids, {runtime.encode_chat(_TALK)}, {runtime.log_probabilities([1, 2]).shape}"


def in_openvino(path: Path) -> str:
    from pellucid.export.runtimes.openvino import OpenVinoRuntime

    with OpenVinoRuntime(path) as runtime:
        return f"{len(runtime.encode('What is it?'))} ids, {runtime.encode_chat(_TALK)}, {runtime.log_probabilities([1, 2]).shape}"


def in_torchao(path: Path) -> str:
    from pellucid.export.runtimes.hf import TransformersRuntime

    with TransformersRuntime(path, dtype="auto") as runtime:
        return f"{runtime.log_probabilities([1, 2]).shape}"


def adapter(path: Path) -> str:
    """Put an adapter on the model that lies beside it."""
    from pellucid.adapters.peft_format import load_peft, peft_digest
    from pellucid.checkpoint.weights import import_weights
    from pellucid.model.decoder import Decoder

    config, state = import_weights(path.parent / "base")
    model = Decoder(config)
    model.load_state_dict(state)
    load_peft(model, path)
    return peft_digest(path)[:12]


def verify(path: Path) -> str:
    return command("verify", str(path))


def evaluate_stage(path: Path) -> str:
    """The last checkpoint of a training stage, which the stage's manifest names."""
    return evaluate(path / "pretrain")


def save_again(path: Path) -> str:
    """Write a run's vocabulary into another folder, as exports do."""
    from pellucid.tokenizer.tokenizer import load_tokenizer

    folder = Path("a/b/c")
    load_tokenizer(path / "tokenizer").save(folder)
    load_tokenizer(path / "tokenizer").save_for_transformers(folder, 128)
    return " ".join(sorted(file.name for file in folder.iterdir()))


def show(path: Path) -> str:
    return command("show", str(path / "tokenizer"))


def recipe(path: Path) -> str:
    return command("explain", str(path))


def report(path: Path) -> str:
    return command("report", str(path), "--runs", "reports")


OPENERS: dict[str, Callable[[Path], str]] = {
    "evaluate": evaluate,
    "serve": serve,
    "chat": chat,
    "model: like": like,
    "tokenizer": tokenizer,
    "init_from": weights,
    "read back": back,
    "transformers": in_transformers,
    "torchao": in_torchao,
    "llama.cpp": in_llama_cpp,
    "MLX": in_mlx,
    "OpenVINO": in_openvino,
    "peft": adapter,
    "verify": verify,
    "show": show,
    "evaluate stage": evaluate_stage,
    "save again": save_again,
    "recipe": recipe,
    "report": report,
}
