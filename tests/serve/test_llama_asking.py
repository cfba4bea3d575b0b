import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import EndpointError
from pellucid.generate.engine import GenerationRequest, Token
from pellucid.generate.sampling import Sampling
from pellucid.serve.llama_asking import Vocabulary, read_probability, sampler

BYTES = [bytes([value]) for value in range(256)]
OWN = [*BYTES, "é".encode(), b"\xf0\x9f", b"\x9f\x8e"]


@given(st.characters(min_codepoint=0x80, exclude_categories=["Cs"]))
def test_the_tokens_of_a_character_are_found_by_its_bytes(character):
    *before, last = character.encode()
    assert Vocabulary(BYTES).fill(character.encode(), last, len(before)) == before


def test_of_several_spellings_the_first_tokens_are_longest_and_the_number_is_kept():
    vocabulary, party = Vocabulary(OWN), "🎉".encode()
    assert vocabulary.fill(party, party[3], 2) == [257, party[2]]
    assert vocabulary.fill(party, party[3], 3) == list(party[:3])
    with pytest.raises(EndpointError, match="which no tokens have"):
        vocabulary.fill(party, party[3], 4)
    with pytest.raises(EndpointError, match="which no tokens have"):
        vocabulary.fill(party, 65, 3)


def test_what_llama_cpp_does_by_default_is_off():
    asked = sampler(Sampling(temperature=0.5, top_k=7, top_p=0.9), 2**40 + 3, 256)
    assert (asked["temperature"], asked["top_k"], asked["top_p"], asked["min_p"]) == (0.5, 7, 0.9, 0.0)
    assert asked["repeat_penalty"] == 1.0 and asked["samplers"].index("temperature") < asked["samplers"].index("top_k")
    assert 0 <= asked["seed"] < 2**32 - 1 and sampler(Sampling(), 0, 256)["top_k"] == 0


def test_a_probability_that_is_no_number_is_an_error_also_when_nobody_asked():
    shown = {"id": 3, "logprob": -1.5, "top_logprobs": [{"id": 4, "logprob": -0.5}, {"id": 3, "logprob": -1.5}]}
    silent, asking = (GenerationRequest((1,), 1, Sampling(), top_logprobs=top) for top in (None, 1))
    assert read_probability({"completion_probabilities": [shown]}, silent) == Token(3)
    assert read_probability({"completion_probabilities": [shown]}, asking) == Token(3, -1.5, ((4, -0.5),))
    with pytest.raises(EndpointError, match="no numbers"):
        read_probability({"completion_probabilities": [shown | {"logprob": None}]}, silent)
