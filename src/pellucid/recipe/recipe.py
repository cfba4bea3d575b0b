"""The recipe itself: everything a run is a function of."""

from pydantic import Field

from pellucid.recipe.after import EvaluateConfig, ExportConfig, PlanConfig
from pellucid.recipe.conversations import ChatConfig, ConversationConfig
from pellucid.recipe.data import ShardsConfig, SourceConfig, TokenizerConfig
from pellucid.recipe.documents import DocumentsConfig
from pellucid.recipe.launch import LaunchConfig
from pellucid.recipe.mixture import MixtureConfig
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.release import ReleaseConfig
from pellucid.recipe.section import Section
from pellucid.recipe.training import TrainStageConfig

__all__ = ["Recipe"]


class Recipe(Section):
    """One run as data, resolved: presets filled in, `extends` merged, overrides applied."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the run's folder.")
    description: str = Field("", description="What the run is for, in a line.")
    seed: int = Field(1, ge=0, lt=2**32, description="Everything random derives from it.")
    sources: tuple[SourceConfig, ...] = Field((), description="Where text comes from: one row each of the data table.")
    conversations: tuple[ConversationConfig, ...] = Field((), description="Where conversations and preference pairs come from.")
    chat: ChatConfig = Field(ChatConfig(), description="How conversations are written as tokens.")
    mixture: MixtureConfig = Field(MixtureConfig(), description="From the sources' sizes to their weights.")
    documents: DocumentsConfig = Field(DocumentsConfig(), description="From raw records to documents.")
    tokenizer: TokenizerConfig = Field(TokenizerConfig(), description="The vocabulary.")
    shards: ShardsConfig = Field(ShardsConfig(), description="From documents to token shards.")
    model: ModelConfig = Field(description="Shape of the decoder; preset: NAME fills in a known one.")
    train: tuple[TrainStageConfig, ...] = Field(min_length=1, description="Training stages in order.")
    evaluate: EvaluateConfig = Field(EvaluateConfig(), description="Held-out scores.")
    export: ExportConfig = Field(ExportConfig(), description="What is written for other runtimes.")
    plan: PlanConfig = Field(PlanConfig(), description="Where the run is meant to happen, and what that costs.")
    release: ReleaseConfig = Field(ReleaseConfig(), description="What is said of the model when it is published.")
    launch: LaunchConfig | None = Field(None, description="How training is started on several devices, for `pellucid launch`.")

    @property
    def text_stages(self) -> tuple[TrainStageConfig, ...]:
        """The training stages that read token shards."""
        return tuple(stage for stage in self.train if stage.learns_from_text)

    @property
    def is_chat(self) -> bool:
        """Whether the run ends in a model that answers: some stage learns from conversations, pairs or what the model is."""
        return any(not stage.learns_from_text for stage in self.train)

    def conversations_of(self, stage: TrainStageConfig) -> tuple[ConversationConfig, ...]:
        """Return the sources of conversations that a stage reads: those it names, else all that may fit its objective."""
        if stage.objective in ("next_token", "self_knowledge"):
            return ()
        if stage.conversations is not None:
            return tuple(source for source in self.conversations if source.name in stage.conversations)
        return tuple(source for source in self.conversations if source.holds_pairs in (None, stage.learns_from_pairs))

    def weights_of(self, stage: TrainStageConfig) -> dict[str, float]:
        """Return the weight of every source that has one in a stage: the stage's own where it gives one, else the source's.

        With a temperature these are factors, 1 where none is given. Sources that the stage takes by epochs have no weight.
        """
        own, default = stage.weights or {}, 0.0 if self.temperature_of(stage) is None else 1.0
        weights = {}
        for source in self.sources:
            weight = own.get(source.name, source.weight)
            if source.name not in (stage.epochs or {}) and (source.name in own or source.epochs is None):
                weights[source.name] = default if weight is None else weight
        return weights

    def temperature_of(self, stage: TrainStageConfig) -> float | None:
        """Return the temperature of a stage's mixture, its own or the recipe's; None when weights are shares as they stand."""
        return self.mixture.temperature if stage.temperature is None else stage.temperature

    def spread_epochs(self, stage: TrainStageConfig) -> dict[str, float]:
        """Return the sources whose own `epochs`, of the whole run, have a part in this stage, which names none for them."""
        named = {*(stage.weights or {}), *(stage.epochs or {})}
        return {s.name: s.epochs for s in self.sources if s.epochs is not None and s.name not in named}
