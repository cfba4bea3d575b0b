"""What a plan says beside its figures."""

from pellucid.plan.memory import rank_memory
from pellucid.plan.mixing import mix_stages
from pellucid.plan.notes import memory_notes, mixture_notes, printed_notes, recompute_notes, source_notes, spaced
from pellucid.plan.tokens import source_rows
from pellucid.recipe.recipe import Recipe

HOURS = {"six_n": 32_396.3, "with_attention": 40_328.4}


def test_the_printed_figures_of_stable_lm_2_are_explained(stable_lm: Recipe) -> None:
    text = "\n".join(printed_notes(stable_lm, 1_644_515_328, 2_009_831_803_933, HOURS))
    for figure in (
        "1 644 417 024",
        "1 644 515 328",
        "98 304 = 24 · 2 · 2048",
        "2 009 831 803 929, 4 fewer",
        "32 400 (6N) to 40 300",
        "44 %",
        "Its weights add up to 1.0001, not 1: StackExchange's is printed as 0.0231, and its tokens are 0.0230 of the whole",
    ):
        assert figure in text


def test_other_models_and_lengths_have_no_printed_figures(stable_lm: Recipe, tinyllama: Recipe) -> None:
    assert list(printed_notes(tinyllama, 1_100_048_384, 3 * 10**12, HOURS)) == []
    assert len(list(printed_notes(stable_lm, 1_644_515_328, 10**9, HOURS))) == 1


def test_unusual_mixes_are_pointed_out(stable_lm: Recipe) -> None:
    text = "\n".join(source_notes(stable_lm, source_rows(stable_lm)))
    assert "BookCorpusOpen (6.0), AMPS (6.0)" in text
    assert "add up to" not in text
    changed = [source.model_copy(update={"epochs": None, "weight": 1.0001 / 28}) for source in stable_lm.sources]
    weighted = stable_lm.model_copy(update={"sources": tuple(changed)})
    assert "add up to 1.0001, not 1" in "\n".join(source_notes(weighted, source_rows(weighted)))


def test_what_caps_took_away_and_how_epochs_were_scaled_is_told(pocket: Recipe, stable_lm: Recipe) -> None:
    assert list(mixture_notes(mix_stages(stable_lm))) == [], "two parts in a million million are no news"
    half = stable_lm.train[0].model_copy(update={"length_tokens": 10**12})
    (note,) = mixture_notes(mix_stages(stable_lm.model_copy(update={"train": (half,)})))
    assert "length_tokens is 0.497554 times what they add up to" in note
    first = pocket.sources[0].model_copy(update={"max_epochs": 2.0})
    capped = pocket.model_copy(update={"sources": (first, *pocket.sources[1:])})
    (note,) = mixture_notes(mix_stages(capped, {source.name: 10_000 for source in pocket.sources}))
    assert note.startswith(f"pretrain: max_epochs holds {first.name} to 20 k tokens; by weight alone it would get")


def test_a_stage_that_does_not_fit_is_told_the_least_that_helps(stable_lm: Recipe) -> None:
    memory = rank_memory(stable_lm.model, stable_lm.train[0], 512, bf16=True)
    assert "sharding zero1 needs" in next(memory_notes(memory, 42_300_000_000, "pretrain"))
    assert "sharding full needs" in next(memory_notes(memory, 25_000_000_000, "pretrain"))
    assert "activation_checkpointing selective with sharding full" in next(memory_notes(memory, 20_000_000_000, "pretrain"))
    assert "a smaller micro_seqs" in next(memory_notes(memory, 10**9, "pretrain"))
    assert list(memory_notes(memory, 10**11, "pretrain")) == []


def test_the_work_that_is_done_twice_is_told(stable_lm: Recipe) -> None:
    stage = stable_lm.train[0]
    assert list(recompute_notes(stable_lm.model, stage)) == []
    (note,) = recompute_notes(stable_lm.model, stage.model_copy(update={"activation_checkpointing": "block"}))
    # A third of forward and backward, less the head, which is not computed again.
    assert "computes the forward pass of every block twice: 29% more work" in note


def test_numbers_are_grouped_by_three() -> None:
    assert spaced(1644515328) == "1 644 515 328"
