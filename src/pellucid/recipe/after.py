"""Sections for what follows training: held-out scores, exports, and the prices that a plan is made with."""

from typing import Literal

from pydantic import Field

from pellucid.recipe.section import Section
from pellucid.recipe.suites import BenchmarksConfig

__all__ = [
    "CertificateConfig",
    "EvaluateConfig",
    "ExportConfig",
    "GgufType",
    "HfType",
    "MlxType",
    "OpenVinoType",
    "PlanConfig",
    "TorchaoType",
]

HfType = Literal["float32", "bfloat16"]
GgufType = Literal["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K_M", "Q5_K_M", "Q6_K"]
MlxType = Literal["fp16", "int4"]
OpenVinoType = Literal["fp16", "int4"]
TorchaoType = Literal["int8", "int4"]


class EvaluateConfig(Section):
    """Held-out bits per byte: sliding windows that overlap, so that every scored token has context."""

    seq_tokens: int | None = Field(None, ge=2, description="Window; the training stage's sequence when not given.")
    stride_tokens: int | None = Field(None, ge=1, description="New tokens scored per window; half the window when not given.")
    batch_seqs: int = Field(16, ge=1, description="Windows scored at once.")
    max_bytes: int | None = Field(None, ge=1, description="Score at most this much held-out text of each source.")
    baselines: tuple[Literal["xz", "ngram"], ...] = Field(
        ("xz", "ngram"), description="Compressors whose bits per byte stand beside the model's."
    )
    benchmarks: BenchmarksConfig | None = Field(None, description="Suites of benchmarks to run when training is done.")


class CertificateConfig(Section):
    """How much is compared when an export is opened in its own runtime. Strings and conversations are always compared in full."""

    tokens: int = Field(1024, ge=2, description="Held-out tokens on which next-token distributions are compared.")
    window_tokens: int = Field(256, ge=2, description="Longest stretch of them that is read in one go.")
    questions: int = Field(8, ge=0, description="Questions with four answers, made of held-out documents.")


class ExportConfig(Section):
    """What is written for other runtimes: of each format every type that is listed."""

    formats: tuple[Literal["hf", "gguf", "mlx", "openvino", "torchao", "bitsandbytes", "peft"], ...] = Field(
        ("hf",), description="Which exports are written; peft: the last stage's adapter by itself, which the others hold merged."
    )
    hf_type: HfType = Field("float32", description="Number type of the Hugging Face folder's weights.")
    hf_shard_bytes: int = Field(5_000_000_000, ge=1, description="Largest weight file of that folder; more makes several files.")
    gguf_types: tuple[GgufType, ...] = Field(("F16",), min_length=1, description="GGUF files to write, by their matrices' type.")
    mlx_types: tuple[MlxType, ...] = Field(("fp16",), min_length=1, description="MLX folders to write.")
    openvino_types: tuple[OpenVinoType, ...] = Field(("fp16",), min_length=1, description="OpenVINO folders to write.")
    torchao_types: tuple[TorchaoType, ...] = Field(("int8",), min_length=1, description="torchao folders to write.")
    certificate: CertificateConfig = Field(CertificateConfig(), description="How closely each export is compared.")


class PlanConfig(Section):
    """Where the run is meant to happen, and what that costs."""

    device: str = Field("cpu-2-core", description="A row of the table of devices.")
    devices: int = Field(1, ge=1, description="How many of them train together.")
    price_per_device_hour: float | None = Field(None, ge=0, description="US dollars; the device table's when not given.")
    pue: float = Field(
        1.1, ge=1, description="Power usage effectiveness of the data centre; 1.1 as in arXiv 2302.13971, section 6."
    )
    grid_kg_co2e_per_kwh: float = Field(
        0.385, ge=0, description="Of the electricity; 0.385, the US mean in arXiv 2302.13971, by default."
    )
    achieved_flops_frac: float | None = Field(None, gt=0, le=1, description="MFU to expect; the device table's when not given.")
