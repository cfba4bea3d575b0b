import dataclasses

from pellucid.serve.model import token_name


def test_special_tokens_are_not_shown_and_padding_rows_are(served, tokenizer):
    assert served.shown_bytes(tokenizer.eos_id) == b"" and served.own_bytes(tokenizer.eos_id) == b"<|endoftext|>"
    assert served.shown_bytes(607) == served.own_bytes(607) == "\ufffd".encode()
    assert b"".join(map(served.shown_bytes, tokenizer.encode("Größe 😀"))).decode() == "Größe 😀"


def test_a_text_begins_as_the_model_learnt_it(served, tokenizer):
    assert served.encode("The river") == tokenizer.encode("The river") and served.encode("") == [tokenizer.eos_id]
    begun = dataclasses.replace(served, begins_texts=True)
    assert begun.encode("The river") == [tokenizer.eos_id, *tokenizer.encode("The river")]


def test_a_part_of_a_character_is_named_by_its_bytes():
    assert token_name("né".encode()) == "né" and token_name(b"\xf0\x9f") == "bytes:\\xf0\\x9f"
