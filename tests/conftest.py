"""One finished smoke run, shared by all tests that only read; tests that change something take a copy."""

import fcntl
import gc
import getpass
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from pellucid.cli.main import main
from pellucid.core.artifacts import Key, read_manifest, seal
from pellucid.core.files import write_json

ROOT = Path(__file__).parents[1]

# The same examples on every machine; `--hypothesis-profile=explore` looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("same")

LONGEST = ("e2e/test_smoke_run.py", "train/", "e2e/", "stages/", "export/", "core/", "evals/", "documents/", "serve/")
"""Where the tests lie that several processes begin with, so that none has minutes of work left when the others are done."""


def has_room(place: Path) -> bool:
    """Whether temporary files may lie there: programs can be run from it, and there is plenty of room."""
    if not os.access(place, os.W_OK):
        return False
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize >= 4 << 30 and not found.f_flag & os.ST_NOEXEC


def pytest_configure(config: pytest.Config) -> None:
    """Let temporary files lie in RAM: all is synced before it counts as written, which on a disk takes more time than the rest."""
    memory = Path("/dev/shm")
    if "TMPDIR" in os.environ or not has_room(memory):
        return
    disk = os.environ["PELLUCID_TESTS_DISK"] = tempfile.gettempdir()  # for tests that are about where files lie
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", f"{disk}/torchinductor_{getpass.getuser()}")  # kept, as it would be
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))  # of tests that failed, pytest keeps the folders
    folder = os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="pellucid-tests-", dir=memory)
    # After the folder in it that multiprocessing clears away, at -100, when the process ends.
    Finalize(None, shutil.rmtree, args=(folder,), kwargs={"ignore_errors": True}, exitpriority=-200)


RANKS = ("gradients", "ranks", "recompute", "saver", "sharding", "tensor_parallel")
TOGETHER = dict.fromkeys([f"tests/train/test_{name}.py" for name in RANKS], "ranks")
TOGETHER |= dict.fromkeys(["tests/core/test_ray_tasks.py", "tests/documents/test_prepare.py"], "ray")
"""Files whose tests share what takes long to start, so that one process gets them all. xdist's own marks for that (up to 3.8) are
lost with pytest 9.2, which keeps a test's name elsewhere."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadgroup`, give the tests of a file to one process: what they share is made once, not once in each."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return TOGETHER.get(file, file)

    if config.getvalue("dist") != "loadgroup":
        return None
    config.option.loadscopereorder = False  # the order is ours, see below, not that of how many tests a file has
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(here).as_posix()
        return next((number for number, start in enumerate(LONGEST) if path.startswith(start)), len(LONGEST))

    if os.environ.get("PYTEST_XDIST_WORKER"):
        items.sort(key=place)


def pytest_collection_finish() -> None:
    # Thousands of tests and the modules they import stay until the end: nothing is gained by going through them again and again.
    gc.freeze()


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of a finished `pocket-smoke` run; made once, also when tests run in several processes."""
    shared = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    runs = shared / "smoke-runs"
    runs.mkdir(exist_ok=True)
    with (shared / "smoke-runs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (runs / "done").exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("pellucid.train.device._PEAK_S", 0.0)  # five products of each kind, not half a second of them
                assert main(["run", str(ROOT / "recipes" / "pocket-smoke.yaml"), "--runs", str(runs)]) == 0
            # Commands that only read the run write into its ledger all the same.
            shutil.copy(runs / "pocket-smoke" / "ledger.jsonl", runs / "ledger.jsonl")
            (runs / "done").touch()
    return runs / "pocket-smoke"


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """One Ray for all tests that need it, started by the first tasks that ask for it: that takes seconds."""
    ray = pytest.importorskip("ray")
    from pellucid.core.processes import run_tasks

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))  # for functions of tests
        assert list(run_tasks(os.path.basename, ["a/b"], 2, engine="ray")) == [(0, "b")]
    yield
    ray.shutdown()


@pytest.fixture
def storage_watch() -> type:
    """A context whose `live_bytes()` counts every storage that came up inside and still exists, whoever holds it.

    Storages of `known` tensors (weights, inputs) are left out. `peak_bytes` is the largest count after any operator.
    """
    import torch
    from torch.multiprocessing.reductions import StorageWeakRef
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class StorageWatch(TorchDispatchMode):
        def __init__(self, known: list[torch.Tensor]) -> None:
            super().__init__()
            self._known = {tensor.untyped_storage()._cdata for tensor in known}
            self._found: dict[int, tuple[StorageWeakRef, int]] = {}
            self.operators: Counter[str] = Counter()
            self.peak_bytes = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            self.operators[str(func)] += 1
            for tensor in tree_leaves(out):
                if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self._known:
                    storage = tensor.untyped_storage()
                    self._found[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
            self.peak_bytes = max(self.peak_bytes, self.live_bytes())
            return out

        def live_bytes(self) -> int:
            self._found = {key: (ref, size) for key, (ref, size) in self._found.items() if not ref.expired()}
            return sum(size for _, size in self._found.values())

    return StorageWatch


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where Chromium is; skips, before anything else is made, where it or Playwright is not installed."""
    pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed")
    return path


# Of a module, not of all tests: while Playwright is there, no other event loop runs in this thread.
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """A real Chromium that asks nobody for anything by itself."""
    from playwright.sync_api import sync_playwright

    quiet = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-sync",
    ]
    with sync_playwright() as session:
        opened = session.chromium.launch(executable_path=chromium, args=quiet)
        yield opened
        opened.close()


STUDY = """\
kind: study
description: Two rates and two lengths of one trunk, to see that all of it works
base: base.yaml
axes:
  peak: {key: train.pretrain.schedule.peak_lr, values: [3e-3, 1e-2]}
  length: {key: train.pretrain.length_tokens, values: [12_288, 6_144]}
seeds: [1, 2]
work: {threads: 1}
"""
STUDY_BASE = """extends: ROOT/recipes/pocket-smoke.yaml
conversations: []
tokenizer: {vocab_tokens: 512, train_bytes: 2e5}
model: {layers: 1, hidden: 32, heads: 2, kv_heads: 2, mlp_hidden: 64}
train:
  pretrain:
    schedule: {kind: constant, warmup_steps: 2, cooldown_steps: 0, cooldown_frac: 0.25}
    checkpoint: {every_steps: 2, keep_last: 1, keep_every_steps: 2}
    samples: {every_steps: 0}
    curves: {every_steps: 4, tasks: [perplexity], items: 12, text_words: 16}
  sft: null
  dpo: null
  self_knowledge: null
evaluate: {baselines: [], max_bytes: 4000, benchmarks: null}
plan: {device: cpu-2-core}
"""


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of a finished study of eight tiny runs, `study.yaml` beside it; made once. It is only read."""
    shared = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    folder = shared / "study"
    folder.mkdir(exist_ok=True)
    with (shared / "study.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            (folder / "base.yaml").write_text(STUDY_BASE.replace("ROOT", str(ROOT)))
            (folder / "study.yaml").write_text(STUDY)
            assert main(["run", str(folder / "study.yaml"), "--runs", str(folder)]) == 0
            (folder / "done").touch()
    return folder / "study"


@pytest.fixture
def run_copy(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, as it was when it was finished, that a test may damage. Its parent is the `--runs` folder."""
    copy = tmp_path / "runs" / finished_run.name
    shutil.copytree(finished_run, copy)
    shutil.copy(finished_run.parent / "ledger.jsonl", copy / "ledger.jsonl")
    return copy


@pytest.fixture
def rewrite() -> Callable[[Path, Callable[[Any], None]], None]:
    """Change a JSON file: `rewrite(file, change)`, where `change` gets what it holds."""

    def rewrite_json(file: Path, change: Callable[[Any], None]) -> None:
        value = json.loads(file.read_text())
        change(value)
        write_json(file, value)

    return rewrite_json


@pytest.fixture
def reseal() -> Callable[..., None]:
    """Make an artifact's manifest anew for what lies there now, as whoever covers traces would."""

    def seal_again(folder: Path, **other: Any) -> None:
        old = read_manifest(folder)
        (folder / "manifest.json").unlink()
        config = {**old.config, **other.get("config", {})}
        inputs = {**old.inputs, **other.get("inputs", {})}
        key = Key(old.kind, old.schema_version, other.get("seed", old.seed), config, inputs)
        seal(folder, key, summary={**old.summary, **other.get("summary", {})}, started=time.time())

    return seal_again


@pytest.fixture(scope="session")
def documents_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with nothing but documents, made by hand: dropped ones kept, an empty source, benchmark hits, hostile texts."""
    from pellucid.core.artifacts import Key, building
    from pellucid.core.files import write_json
    from pellucid.documents.document import Document, Dropped, digest_text
    from pellucid.documents.funnel import Funnel, SourceFunnel
    from pellucid.documents.pipeline.dropped import DroppedWriter
    from pellucid.documents.store import DocumentWriter
    from pellucid.recipe.load import load_recipe
    from pellucid.stages.run_folder import RECIPE_FILE

    run = tmp_path_factory.mktemp("runs") / "by-hand"
    recipe = load_recipe(ROOT / "recipes" / "pocket-smoke.yaml").recipe.model_dump(mode="json")
    recipe["sources"] = [
        {"name": "web", "path": "web/*.jsonl", "weight": 1, "category": "Web", "licence": "CC0-1.0 OR MIT"},
        {"name": "code", "path": f"{'a-long-folder' * 20}/*.jsonl", "weight": 1, "category": "Code", "language": "en"},
        {"name": "gone", "hub": "someone/gone", "weight": 0, "category": "Books"},
    ]
    run.mkdir()
    (run / RECIPE_FILE).write_text(json.dumps(recipe))
    evil = "</pre><script>document.title='taken'</script>\x1b[31mred \u202egnp.exe\u2069 & <b>bold</b> \x00"
    texts = ["Grüße aus Köln. " * 40, evil * 3, "漢字とかな。\n\nНаука", "x" * 5000, "short", "a\tb\r\nc"]
    reasons = ("exact duplicate", "near duplicate", "gopher_quality: too <few> words")
    with building(run / "documents", Key("documents", 1, 0, {})) as build:
        funnel = Funnel()
        for source in ("web", "code", "gone"):
            account = funnel.sources[source] = SourceFunnel()
            with (
                DocumentWriter(build.path / source / "train/00000.parquet") as first,
                DocumentWriter(build.path / source / "train/00001.parquet") as second,
                DocumentWriter(build.path / source / "heldout/00000.parquet") as held,
                DroppedWriter(build.path / source / "dropped/00000.parquet") as dropped,
            ):
                for n in range(3 if source == "gone" else 60):
                    text = f"{n} {texts[n % 6]}"
                    size = len(text.encode())
                    language, licence = ("en", "de", "zh")[n % 3], ("MIT", "CC-BY-SA-4.0", "GPL-2.0-only OR MIT")[n % 3]
                    origin = f"https://example.org/{'long' * 30}/{n}"
                    document = Document(f"{source}/{n}", text, source, language, licence, origin, digest_text(text))
                    account.read.add(size)
                    if source == "gone" or n % 4 == 0:
                        reason = reasons[n % 3]
                        account.drop(reason, size)
                        dropped.write_document(document, Dropped(reason, size, f"{source}.jsonl:{n + 1}", f"is like {source}/1"))
                    else:
                        (held if n % 10 == 1 else first if n < 30 else second).write(document)
                        account.keep(language, size, "heldout" if n % 10 == 1 else "train")
                account.edits["email masked"] = 3 if source == "web" else 0
        funnel.write(build.path / "funnel.json")
        hits = [{"source": "web", "document": f"web/{n}", "benchmark": "quiz.jsonl", "words": "<i>what</i> is"} for n in range(7)]
        write_json(build.path / "contamination.json", {"hits": hits})
    return run


@pytest.fixture(scope="session")
def write_result() -> Callable[..., Path]:
    """Write a suite's result on a model of known ability, as suites leave them: `write(folder, suite, label, {task: ability})`.

    Items are as hard for one model as for the other; `acc` is 0 or 1, `bits_per_byte` a ratio.
    """
    import random

    from pellucid.core.files import write_json
    from pellucid.evals.results import Record, Records, prompt_digest, summarise

    def write(
        folder: Path, suite: str, label: str, abilities: Mapping[str, float], *,
        items: int = 200, metric: str = "acc", parts: Sequence[str] = (), prompts: str = "", dirty: int = 0, **told: Any,
    ) -> Path:  # fmt: skip
        path = folder / suite
        with Records(path / "items.jsonl") as records:
            for task, ability in abilities.items():
                hard, own = random.Random(task), random.Random(f"{label} {task}")
                for number in range(items):
                    right = hard.random() * 0.8 + own.random() * 0.2 < ability
                    text = f"Question {number} of {task}: which <b>letter</b> follows A? B"
                    records.add(
                        Record(
                            task, str(number), {metric: float(right)}, {"bits_per_byte": (30 - 10 * right + own.random(), 20.0)},
                            prompt=prompt_digest(prompts, task, str(number)), group=parts[number % len(parts)] if parts else None,
                            text=text, details={"answer": "B" if right else "C"},
                        )
                    )  # fmt: skip
            looked = {"is_clean": lambda record: int(record.item) >= dirty} if dirty else {}
            tasks = summarise(records, 1, **looked)
        result = {
            "schema": 1,
            "suite": suite,
            "subject": {
                "label": label,
                "kind": "run",
                "path": f"runs/{label}",
                "digest": f"{label}-digest",
                "parameters": 12_345_678,
            },
            "complete": True,
            "stopped_by": None,
            "settings": {},
            "setting": {"limit": None, "seed": 1, "data": None},
            "versions": {"pellucid": "0.1.0"},
            "seconds": 1.5,
            "usage": {},
            "judge": None,
            "tasks": tasks,
            "facts": {},
            "contamination": None,
        }
        if dirty:
            by_task = {task: {"looked_up": items, "contaminated": dirty, "cannot_be_told": 0} for task in abilities}
            result["contamination"] = {"by_task": by_task, "items": {}}
        write_json(path / "result.json", result | told)
        return path

    return write
