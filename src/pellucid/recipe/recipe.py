"""The recipe itself: everything a run is a function of."""

from pydantic import Field

from pellucid.recipe.after import EvaluateConfig, ExportConfig, PlanConfig
from pellucid.recipe.data import DocumentsConfig, ShardsConfig, SourceConfig, TokenizerConfig
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.section import Section
from pellucid.recipe.training import TrainStageConfig

__all__ = ["Recipe"]


class Recipe(Section):
    """One run as data, resolved: presets filled in, `extends` merged, overrides applied."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the run's folder.")
    description: str = ""
    seed: int = Field(1, ge=0, lt=2**32)
    sources: tuple[SourceConfig, ...] = Field(min_length=1)
    documents: DocumentsConfig = DocumentsConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    shards: ShardsConfig = ShardsConfig()
    model: ModelConfig
    train: tuple[TrainStageConfig, ...] = Field(min_length=1)
    evaluate: EvaluateConfig = EvaluateConfig()
    export: ExportConfig = ExportConfig()
    plan: PlanConfig = PlanConfig()
