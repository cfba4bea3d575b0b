"""The oracles are llama.cpp and `tokenizers` themselves, as the certificate opens them."""

import pytest

from pellucid.export.gguf import write_gguf
from pellucid.export.hf import ChatExport
from pellucid.export.known_readings import known_readings, other_splits, spaced_after_special
from pellucid.export.runtimes.llama_cpp import LlamaCppRuntime


def test_programs_with_transformers_tokenizers_and_llama_cpp_have_a_rule_each(pieces, tokenizer):
    strings, chats = known_readings(tokenizer, is_gguf=True)
    assert (strings, chats) == (None, None)
    strings, chats = known_readings(pieces, is_gguf=True)
    assert strings is None
    assert chats is not None
    assert all(known_readings(pieces, is_gguf=False))


def test_llama_cpp_puts_a_space_after_a_special_token_and_nothing_else_is_known(llama, pieces, tmp_path):
    pytest.importorskip("xllamacpp")
    template = "{% for m in messages %}{{ m['content'] }}</s>{% endfor %}{{ 'go on' if add_generation_prompt }}"
    path = tmp_path / "m.gguf"
    write_gguf(llama.state, llama.config, pieces, path, dtype="F16", name="t", chat=ChatExport(template, (2,)))
    is_known = spaced_after_special(pieces)
    with LlamaCppRuntime(path, 64) as runtime:
        for first in ("The river", "  indented", "\n", "Größe 12"):
            said = (("user", first), ("assistant", "No. "), ("user", "Yes"))
            theirs = runtime.encode_chat([{"role": role, "content": content} for role, content in said])
            after = [id_ for ids in pieces.encode_after(["No. ", "Yes", "go on"]) for id_ in (2, *ids)]
            ours = [*pieces.encode(first), *after]
            assert theirs != ours
            assert is_known("", ours, theirs)
            for wrong in (theirs[:-1], [*theirs[1:], theirs[0]], [*theirs, 2], [5, *theirs]):
                assert not is_known("", ours, wrong)


def test_without_a_tie_no_other_ids_are_known(pieces):
    is_known = other_splits(pieces)
    text = "the river"
    ours = pieces.encode(text)
    letters = [pieces.encode_after([char])[0] for char in " the river"]
    other = [id_ for ids in letters for id_ in ids]
    assert pieces.decode(other) == pieces.decode(ours)
    assert other != ours
    assert not pieces.may_differ(text)
    assert not is_known(text, ours, other)


def test_with_a_tie_only_ids_of_the_same_text_are_known(pieces, monkeypatch):
    monkeypatch.setattr(pieces, "may_differ", lambda text: text == "the river")
    is_known = other_splits(pieces)
    ours = pieces.encode("the river")
    other = [id_ for char in " the river" for id_ in pieces.encode_after([char])[0]]
    assert is_known("the river", ours, other)
    (after,) = pieces.encode_after(["the river"])
    assert is_known("</s>the river", [2, *after], [2, *other[1:]])
    assert not is_known("the river", ours, other[:-1])
    assert not is_known("the river", ours, [2, *other])
    assert not is_known("a town", pieces.encode("a town"), other)
