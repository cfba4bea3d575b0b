import numpy as np

from pellucid.export.runtimes.decoder import DecoderRuntime
from pellucid.export.runtimes.kept import KeptRuntime


def test_it_answers_as_the_runtime_does_and_what_was_kept_outlives_the_weights(stablelm, tokenizer):
    model = type(stablelm.model)(stablelm.config)
    model.load_state_dict(stablelm.state)
    plain = DecoderRuntime(model, tokenizer)
    ids, other = tokenizer.encode("The river"), tokenizer.encode("had frozen early")
    first, second = plain.log_probabilities(ids), plain.log_probabilities(other)
    with KeptRuntime(plain, most_bytes=first.nbytes) as kept:
        assert (kept.name, kept.version, kept.eos_id) == (plain.name, plain.version, tokenizer.eos_id)
        assert kept.encode("Größe") == plain.encode("Größe") and kept.stop_ids() == plain.stop_ids()
        assert kept.encode_plain("Größe") == plain.encode_plain("Größe") == plain.encode("Größe")
        assert kept.encode_chat([{"role": "user", "content": "a"}]) is None
        np.testing.assert_array_equal(kept.log_probabilities(ids), first)
        np.testing.assert_array_equal(kept.log_probabilities(other), second)
        model.load_state_dict({name: tensor * 2 for name, tensor in stablelm.state.items()})
        np.testing.assert_array_equal(kept.log_probabilities(ids), first)
        # There was no room for the second: it is computed each time.
        assert np.abs(kept.log_probabilities(other) - second).max() > 1e-3
