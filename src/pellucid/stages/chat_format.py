"""The chat format of a run, for whoever has only its folder; prompts that fit a context; answers as samples of a training stage."""

from collections.abc import Sequence
from pathlib import Path

from pellucid.core.errors import UsageError
from pellucid.core.files import write_bytes
from pellucid.export.runtimes.runtime import Message
from pellucid.generate.decoding import generate
from pellucid.model.decoder import Decoder
from pellucid.recipe.conversations import TEMPLATES
from pellucid.recipe.load import LoadedRecipe
from pellucid.recipe.recipe import Recipe
from pellucid.stages.chat import open_chat_format
from pellucid.tokenizer.chat import ChatFormat
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["answers_at", "chat_format_of", "chat_sample", "fit_prompt", "keep_template"]

# A template of the recipe's own, kept in the run: whoever is given only the run does not know where the recipe lay.
TEMPLATE_FILE = "chat_template.jinja"


def keep_template(loaded: LoadedRecipe, run: Path) -> None:
    """Keep the recipe's chat template in the run when it is a file, so that `chat_format_of` finds it there."""
    kept = run / TEMPLATE_FILE
    kept.unlink(missing_ok=True)
    given = loaded.base / loaded.recipe.chat.template
    if loaded.recipe.is_chat and loaded.recipe.chat.template not in TEMPLATES and given.is_file():
        write_bytes(kept, given.read_bytes())


def chat_format_of(recipe: Recipe, run: Path) -> ChatFormat:
    """Return the chat format that a run trains with; `run` holds `tokenizer/`, and the template where that is a file.

    Raises `UsageError` as `load_chat_format` does.
    """
    kept = run / TEMPLATE_FILE
    name = str(kept.resolve()) if kept.is_file() else recipe.chat.template
    if name not in TEMPLATES and not kept.is_file():
        # Training keeps it there. A run of somebody else's does not have this machine's files read.
        raise UsageError(f"chat.template: {name!r} is a file that is not in the run; {kept} is missing")
    return open_chat_format(recipe.chat.model_copy(update={"template": name}), run / "tokenizer", run)


def answers_at(recipe: Recipe, checkpoint: Path) -> bool:
    """Tell whether the model of a checkpoint has learnt to answer, or still continues text.

    Checkpoints are RUN/STAGE/checkpoints/step-N, averages of them RUN/averages/STAGE-last-K/step-N.
    """
    names = [stage.name for stage in recipe.train]
    place = checkpoint.resolve().parents
    stage = place[0].name.rpartition("-last-")[0] if place[1].name == "averages" else place[1].name
    reached = names.index(stage) if stage in names else len(names) - 1
    return any(not stage.learns_from_text for stage in recipe.train[: reached + 1])


def fit_prompt(chat: ChatFormat, messages: Sequence[Message], context_tokens: int, answer_tokens: int) -> tuple[list[int], int]:
    """Return the prompt of a conversation, and how many of its oldest messages were left out so that an answer has room.

    Room is `answer_tokens`, or a quarter of the context where that is less. A system prompt and the last message stay. Raises
    `UsageError` when these alone fill the context.
    """
    system = [message for message in messages[:1] if message["role"] == "system"]
    turns = list(messages[len(system) :])
    room = context_tokens - min(answer_tokens, max(1, context_tokens // 4))
    # Whole turns go, so that what is left begins with a user.
    starts = [place for place, message in enumerate(turns) if message["role"] == "user"] or [0]
    for start in starts:
        ids = list(chat.prompt([*system, *turns[start:]]))
        if len(ids) <= room:
            return ids, start
    if len(ids) < context_tokens:
        return ids, starts[-1]
    raise UsageError(
        f"the last message and what goes with it have {len(ids)} tokens; the context holds {context_tokens}: shorten it"
    )


def chat_sample(chat: ChatFormat, tokenizer: Tokenizer, model: Decoder, prompt: str, *, new_tokens: int, seed: int) -> str:
    """Return the model's answer to one message of a user."""
    ids, _ = fit_prompt(chat, [{"role": "user", "content": prompt}], model.config.context_tokens, new_tokens)
    stream = generate(model, ids, max_new_tokens=new_tokens, temperature=0.8, top_k=50, seed=seed, stop_ids=chat.stop_ids)
    return tokenizer.decode_after(stream)
