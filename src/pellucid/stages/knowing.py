"""A stage of self-knowledge around its training: which models write its data, and what it knows of itself before and after."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from pellucid.checkpoint.models import load_weights
from pellucid.checkpoint.weights import weights_digest
from pellucid.conversations.self_knowledge import SelfKnowledge, load_self_knowledge
from pellucid.core.errors import UsageError
from pellucid.core.files import sha256_file
from pellucid.core.seeds import derive_seed
from pellucid.evals.self_knowledge import Interview, interview, note_interview
from pellucid.generate.batched import Completer
from pellucid.generate.sampling import Sampling
from pellucid.model.decoder import Decoder
from pellucid.recipe.load import LoadedRecipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.recipe.tuning import SelfKnowledgeConfig
from pellucid.stages.examples import SELF_KNOWLEDGE_DATA
from pellucid.stages.first_messages import Speech
from pellucid.stages.run_folder import final_checkpoint, training_stage, weights_at
from pellucid.stages.self_knowledge import Writers, make_self_knowledge, negative_id
from pellucid.stages.stage import Context
from pellucid.train.device import pick_device
from pellucid.train.state import TrainState

__all__ = ["check_facts", "knowledge_inputs", "knowledge_probe", "write_knowledge_data"]


def check_facts(loaded: LoadedRecipe) -> None:
    """Read the facts of every stage that wants some, so that what is wrong with them is told before anything is trained."""
    for stage in loaded.recipe.train:
        if stage.self_knowledge is not None:
            facts = stage.self_knowledge.facts
            if not (loaded.base / facts).is_file():
                raise UsageError(f"stage {stage.name!r}: self_knowledge.facts: got {facts!r}; {loaded.base / facts} is not there")
            load_self_knowledge(loaded.base / facts)


def knowledge_inputs(stage: TrainStageConfig, context: Context) -> dict[str, str]:
    """Return the digests of what the data are made from besides the stage's first weights: the facts, and who makes up messages."""
    config = _config(stage)
    return {"facts": sha256_file(_facts(config, context)), "messages_from": weights_digest(_messages_from(config, context)[0])}


def write_knowledge_data(stage: TrainStageConfig, context: Context, speech: Speech, start: Path, out: Path) -> None:
    """Have the models write the stage's examples into `out`; what an earlier, killed call has written is kept.

    `start` holds the weights that answer. One process writes; the others wait for it.
    """
    config = _config(stage)
    if context.world.is_first:
        source, knows_chat = _messages_from(config, context)
        writers = Writers(
            first_message=_completer(source, context),
            answer=_completer(start, context),
            knows_chat=knows_chat,
            digests=(weights_digest(source), weights_digest(start)),
        )
        seed = derive_seed(context.recipe.seed, "self-knowledge data", stage.name)
        where = out / SELF_KNOWLEDGE_DATA
        make_self_knowledge(config, _known(config, context), speech, writers, where, seed=seed, seq_tokens=stage.seq_tokens)
    context.world.wait_for_first(f"data of {stage.name}")


def knowledge_probe(
    stage: TrainStageConfig, context: Context, speech: Speech, steps: int, out: Path
) -> Callable[[TrainState], None]:
    """Return what asks the model for its facts, before the first step and after the last, and notes it in `self_knowledge.json`."""
    config, known = _config(stage), _known(_config(stage), context)
    chat = speech.chat
    how = Interview(
        prompt=lambda question: chat.prompt([{"role": "user", "content": question}]),
        decode=speech.tokenizer.decode_after,
        stop_ids=chat.stop_ids,
        negative_id=negative_id(config, speech),
        answer_tokens=config.answer_tokens,
        sampling=Sampling(config.temperature, top_p=config.top_p),
    )

    def probe(state: TrainState) -> None:
        step = state.progress.step
        if step not in (0, steps):
            return
        was_training = state.model.training
        state.model.eval()
        found = interview(how, Completer(state.model), known.heldout, known.first_messages, context.recipe.seed)
        state.model.train(was_training)
        if context.world.is_first:
            note_interview(out / "self_knowledge.json", "after" if step else "before", {"step": step, **found})

    return probe


def _config(stage: TrainStageConfig) -> SelfKnowledgeConfig:
    assert stage.self_knowledge is not None, "the recipe's check demands it"
    return stage.self_knowledge


def _facts(config: SelfKnowledgeConfig, context: Context) -> Path:
    return context.loaded.base / config.facts


def _known(config: SelfKnowledgeConfig, context: Context) -> SelfKnowledge:
    return load_self_knowledge(_facts(config, context))


def _messages_from(config: SelfKnowledgeConfig, context: Context) -> tuple[Path, bool]:
    """Return the weights that make up first messages, and whether they have learnt conversations.

    When the recipe names no stage: those of the base model, which the first stage made from text, or began with.
    """
    recipe = context.recipe
    if config.messages_from is None and not recipe.train[0].learns_from_text and recipe.train[0].init_from is not None:
        return weights_at(context.loaded.base / recipe.train[0].init_from), False
    stage = training_stage(recipe, config.messages_from)
    return final_checkpoint(context.run, stage), not stage.learns_from_text


def _completer(weights: Path, context: Context) -> Callable[[], Completer]:
    @cache
    def load() -> Completer:
        model = Decoder(context.recipe.model)
        load_weights(model, weights)
        return Completer(model.to(pick_device("auto").device).eval())

    return load
