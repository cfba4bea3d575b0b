"""A tiny model with random weights, as a checkpoint and as a GGUF file that llama.cpp runs."""

import dataclasses
import threading
import time

import httpx
import pytest
import torch

from pellucid.core.artifacts import Key, building
from pellucid.documents.document import Document, digest_text
from pellucid.evals.contamination import open_training_text
from pellucid.evals.origins import TrainingOrigins
from pellucid.export.gguf import write_gguf
from pellucid.export.probes import probe_texts
from pellucid.generate.columns import ColumnsDecoder
from pellucid.generate.torch_engine import TorchEngine
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.data import ShardsConfig
from pellucid.recipe.model import ModelConfig
from pellucid.serve.app import make_app
from pellucid.serve.llama_engine import LlamaEngine, LlamaShape
from pellucid.serve.model import ServedModel
from pellucid.serve.run import Server, config_of, listen
from pellucid.serve.settings import ServerSettings
from pellucid.shards.writer import write_shards
from pellucid.tokenizer.chat import load_chat_format
from pellucid.tokenizer.training import train_bpe

SHAPE = {
    "vocab_tokens": 608, "context_tokens": 256, "layers": 2, "hidden": 64, "heads": 4, "kv_heads": 2, "mlp_hidden": 96,
    "norm": "rmsnorm", "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False, "tied_head": False, "init_std": 0.1,
}  # fmt: skip


@pytest.fixture(scope="session")
def tokenizer():
    return train_bpe(probe_texts() * 2, 600)


@pytest.fixture(scope="session")
def decoder():
    model = Decoder(ModelConfig(**SHAPE))
    init_weights(model, 5)
    with torch.no_grad():
        # Sure of itself enough that near-ties do not flip between two ways of adding up.
        model.head.weight.mul_(3)
    return model.eval()


@pytest.fixture(scope="session")
def gguf_file(decoder, tokenizer, tmp_path_factory):
    pytest.importorskip("xllamacpp")
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(decoder.state_dict(), decoder.config, tokenizer, path, dtype="F32", name="tiny")
    return path


@pytest.fixture(scope="session")
def own_bytes(tokenizer, decoder):
    known = tokenizer.vocab_tokens
    return [tokenizer.decode_bytes([id_]) for id_ in range(known)] + [b"\xff"] * (decoder.config.vocab_tokens - known)


@pytest.fixture(scope="session")
def engine(gguf_file, own_bytes):
    engine = LlamaEngine(gguf_file, own_bytes, LlamaShape(256, exact=True))
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def served(engine, tokenizer, tmp_path_factory):
    chat = load_chat_format("zephyr", tokenizer, base=tmp_path_factory.mktemp("chat"))
    return ServedModel("tiny", engine, tokenizer, chat, tokenizer.eos_id, begins_texts=False, created=1)


class Running:
    """A server in a thread of this process, on a free port."""

    def __init__(self, model, settings):
        self.app = make_app(model, settings)
        listening = listen(settings)
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self.server = Server(config_of(self.app, settings), self.app, threading.Event().set)
        self.thread = threading.Thread(target=self.server.run, args=([listening],), daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self):
        self.server.should_exit = True
        self.thread.join(60)


class Borrowed:
    """An engine that a server may close without closing it: several servers share it."""

    def __init__(self, engine):
        self._engine = engine

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def close(self):
        pass


@pytest.fixture(scope="session")
def borrowed():
    return Borrowed


@pytest.fixture(scope="session")
def start(request):
    """Start a server with these settings; all of them stop at the end."""
    running = []

    def started(model=None, **settings):
        if model is None:
            served = request.getfixturevalue("served")
            model = dataclasses.replace(served, engine=Borrowed(served.engine))
        running.append(Running(model, ServerSettings(**{"port": 0} | settings)))
        return running[-1]

    yield started
    for one in running:
        one.stop()


@pytest.fixture(scope="session")
def server(start):
    return start()


@pytest.fixture(scope="session")
def client(server):
    openai = pytest.importorskip("openai")
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, http_client=httpx.Client(trust_env=False))


@pytest.fixture(scope="session")
def http(server):
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as http:
        yield http


@pytest.fixture(scope="session")
def torch_served(decoder, served):
    engine = TorchEngine(ColumnsDecoder(decoder), slots=4, context_tokens=256)
    yield dataclasses.replace(served, engine=Borrowed(engine))
    engine.close()


@pytest.fixture(scope="session")
def torch_server(start, torch_served):
    """The same model and chat format, answered by the decoder in this process."""
    return start(torch_served)


@pytest.fixture(scope="session")
def make_origins():
    """Return a function that makes a run's shards of texts by source, by the run's own code, and opens them to be asked."""

    def made(texts, tokenizer, run):
        tokenizer.save(run / "tokenizer")
        config = ShardsConfig(shard_tokens=1024, max_special_frac=1.0)
        with building(run / "shards", Key("shards", 2, 0, {})) as build:
            for source, members in texts.items():
                documents = [
                    Document(f"{source}/{n}", one, source, "en", "CC0-1.0", "here", digest_text(one))
                    for n, one in enumerate(members)
                ]
                how = (tokenizer.encode_batch, tokenizer.eos_id, tokenizer.vocab_tokens, tokenizer.special, config)
                write_shards(documents, *how, build.path / source / "train")
        return TrainingOrigins(open_training_text(run))

    return made
