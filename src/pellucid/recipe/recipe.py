"""The recipe itself: everything a run is a function of."""

from pydantic import Field

from pellucid.recipe.after import EvaluateConfig, ExportConfig, PlanConfig
from pellucid.recipe.data import ShardsConfig, SourceConfig, TokenizerConfig
from pellucid.recipe.documents import DocumentsConfig
from pellucid.recipe.launch import LaunchConfig
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.section import Section
from pellucid.recipe.training import TrainStageConfig

__all__ = ["Recipe"]


class Recipe(Section):
    """One run as data, resolved: presets filled in, `extends` merged, overrides applied."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the run's folder.")
    description: str = Field("", description="What the run is for, in a line.")
    seed: int = Field(1, ge=0, lt=2**32, description="Everything random derives from it.")
    sources: tuple[SourceConfig, ...] = Field(min_length=1, description="Where text comes from: one row each of the data table.")
    documents: DocumentsConfig = Field(DocumentsConfig(), description="From raw records to documents.")
    tokenizer: TokenizerConfig = Field(TokenizerConfig(), description="The vocabulary.")
    shards: ShardsConfig = Field(ShardsConfig(), description="From documents to token shards.")
    model: ModelConfig = Field(description="Shape of the decoder; preset: NAME fills in a known one.")
    train: tuple[TrainStageConfig, ...] = Field(min_length=1, description="Training stages in order.")
    evaluate: EvaluateConfig = Field(EvaluateConfig(), description="Held-out scores.")
    export: ExportConfig = Field(ExportConfig(), description="What is written for other runtimes.")
    plan: PlanConfig = Field(PlanConfig(), description="Where the run is meant to happen, and what that costs.")
    launch: LaunchConfig | None = Field(None, description="How training is started on several devices, for `pellucid launch`.")

    def weights_of(self, stage: TrainStageConfig) -> dict[str, float]:
        """Return the weight of every source in a stage: the stage's own where it gives one, else the source's."""
        own = stage.weights or {}
        return {source.name: own.get(source.name, source.weight) for source in self.sources}

    def shares_of(self, stage: TrainStageConfig) -> dict[str, float]:
        """Return each source's share of a stage's tokens: its weight over the sum of weights. Shares add up to 1."""
        weights = self.weights_of(stage)
        total = sum(weights.values())
        return {name: weight / total for name, weight in weights.items()}
