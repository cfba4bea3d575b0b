"""What a plan says beside its figures."""

from pellucid.plan.devices import device_named
from pellucid.plan.fitting import fit_of
from pellucid.plan.mixing import mix_stages
from pellucid.plan.notes import device_notes, fit_notes, length_notes, mixture_notes, recompute_notes, source_notes, spaced
from pellucid.plan.roofline import Layout
from pellucid.plan.tokens import source_rows
from pellucid.recipe.recipe import Recipe

BASES = ("counted", "about", "at_most", "one_step")


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


def test_a_stage_that_does_not_fit_is_told_the_cheapest_change(stable_lm: Recipe) -> None:
    device, layout = device_named("A100-40GB"), Layout(512, bf16=True)
    (stage,) = stable_lm.train
    assert list(fit_notes({"name": "pretrain", "fit": fit_of(stable_lm.model, stage, device, layout)})) == []
    larger = stage.model_copy(update={"micro_seqs": 4})
    (note,) = fit_notes({"name": "pretrain", "fit": fit_of(stable_lm.model, larger, device, layout)})
    assert note == (
        "pretrain: needs 49.1 GiB per device, which has 38.3 GiB for it; micro_seqs 2 needs 33.2 GiB, each step 2% longer."
    )


def test_a_layout_that_training_refuses_is_told_with_what_would_do(stable_lm: Recipe) -> None:
    device, (stage,) = device_named("A100-40GB"), stable_lm.train
    (note,) = fit_notes({"name": "pretrain", "fit": fit_of(stable_lm.model, stage, device, Layout(500, bf16=True))})
    assert note == (
        "pretrain: training refuses this layout: a batch of 2048 sequences cannot be dealt out evenly to 500 devices; "
        "on 512 devices it needs 33.2 GiB."
    )


def test_a_last_micro_batch_that_is_smaller_is_told(stable_lm: Recipe) -> None:
    (stage,) = stable_lm.train
    assert list(device_notes(stage, 512)) == list(device_notes(stage, 500)) == []
    (note,) = device_notes(stage.model_copy(update={"micro_seqs": 3}), 512)
    assert note == "pretrain: of a batch each device has 4 of 2048 sequences; after 1 of 3 its last micro-batch has 1."
    (note,) = device_notes(stage.model_copy(update={"micro_seqs": 16}), 512)
    assert note == "pretrain: of a batch each device has 4 of 2048 sequences; micro_seqs 4 would do."


def test_what_is_not_known_of_examples_is_said(pocket: Recipe) -> None:
    dpo = next(stage for stage in pocket.train if stage.learns_from_pairs)
    told = {basis: "\n".join(length_notes(dpo, {"length_basis": basis, "steps": 7})) for basis in BASES}
    assert all("reference" in text for text in told.values())
    assert "its length is not known before its examples are there" in told["one_step"]
    assert "available_examples, and available_tokens" in told["one_step"]
    assert "7 steps at most, as if each example filled a sequence of 128 tokens" in told["at_most"]
    assert "two answers to each of its first messages" in told["about"]
    assert "each example is a sequence by itself" in told["counted"]
    assert list(length_notes(pocket.train[0], {})) == []


def test_the_work_that_is_done_twice_is_told(stable_lm: Recipe) -> None:
    stage = stable_lm.train[0]
    assert list(recompute_notes(stable_lm.model, stage)) == []
    (note,) = recompute_notes(stable_lm.model, stage.model_copy(update={"activation_checkpointing": "block"}))
    # A third of forward and backward, less the head, which is not computed again.
    assert "computes the forward pass of every block twice: 29% more work" in note


def test_numbers_are_grouped_by_three() -> None:
    assert spaced(1644515328) == "1 644 515 328"
