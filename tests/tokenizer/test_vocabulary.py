from itertools import pairwise

from pellucid.tokenizer.bpe import BytePairTokenizer
from pellucid.tokenizer.huggingface import byte_alphabet
from pellucid.tokenizer.vocabulary import Vocabulary


def test_a_vocabulary_of_pellucids_own_spells_every_id_and_marks_the_special_ones(trained: BytePairTokenizer) -> None:
    vocabulary = trained.vocabulary()
    assert sorted(vocabulary.tokens) == list(range(trained.vocab_tokens))
    assert (vocabulary.model, vocabulary.pre, vocabulary.scores) == ("gpt2", "stablelm2", {})
    assert {vocabulary.tokens[id_] for id_, kind in vocabulary.kinds.items() if kind == "control"} == set(trained.special)
    letters = byte_alphabet()
    assert all(vocabulary.tokens[id_] == "".join(letters[byte] for byte in token) for token, id_ in trained.ranks.items())
    rank_of = {token: id_ for id_, token in vocabulary.tokens.items()}
    made = [rank_of[merge.replace(" ", "")] for merge in vocabulary.merges]
    assert all(one <= two for one, two in pairwise(made))


def test_what_is_not_said_is_ordinary() -> None:
    assert Vocabulary("gpt2", {0: "a"}, {}) == Vocabulary("gpt2", {0: "a"}, {}, "default", (), {}, False)
