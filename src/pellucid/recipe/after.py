"""Sections for what follows training: held-out scores, exports, and the prices that a plan is made with."""

from typing import Literal

from pydantic import Field

from pellucid.recipe.section import Section
from pellucid.recipe.suites import BenchmarksConfig

__all__ = ["EvaluateConfig", "ExportConfig", "PlanConfig"]


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


class ExportConfig(Section):
    """What is written for other runtimes."""

    formats: tuple[Literal["hf", "gguf", "peft"], ...] = Field(
        ("hf",), description="Which exports are written; peft: the last stage's adapter by itself, which the others hold merged."
    )
    gguf_type: Literal["F32", "F16"] = Field("F16", description="Number type of the GGUF file's matrices.")


class PlanConfig(Section):
    """Where the run is meant to happen, and what that costs."""

    device: str = Field("cpu-2-core", description="A row of the table of devices.")
    devices: int = Field(1, ge=1, description="How many of them train together.")
    price_per_device_hour: float | None = Field(None, ge=0, description="US dollars; the device table's when not given.")
    pue: float = Field(1.1, ge=1, description="Power usage effectiveness of the data centre.")
    grid_kg_co2e_per_kwh: float = Field(0.385, ge=0, description="Carbon intensity of the electricity; the US mean by default.")
    achieved_flops_frac: float | None = Field(None, gt=0, le=1, description="MFU to expect; the device table's when not given.")
