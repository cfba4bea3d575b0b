from hypothesis import given
from hypothesis import strategies as st

from pellucid.serve.text import TextStream

TEXTS = st.text(alphabet="ab\néñ日🎉", max_size=40)
STOPS = st.lists(st.text(alphabet="ab\né日", min_size=1, max_size=4), max_size=3)


def fed(data, cuts, stop):
    """Return the parts that come out when the bytes come in pieces."""
    stream, at, parts = TextStream(stop), 0, []
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        parts.append(stream.add(data[at:cut]))
        at = cut
    return stream, [*parts, stream.end()]


@given(TEXTS, st.lists(st.integers(0, 200), max_size=12), STOPS)
def test_however_it_is_cut_the_text_ends_before_its_first_stop(text, cuts, stop):
    stream, parts = fed(text.encode(), cuts, stop)
    ends = [at for one in stop if (at := text.find(one)) >= 0]
    expected = text[: min(ends)] if ends else text
    assert "".join(parts) == expected
    assert stream.stopped == bool(ends) and stream.released == len(expected)


@given(st.binary(max_size=40), st.lists(st.integers(0, 200), max_size=12))
def test_bytes_that_are_no_text_become_what_python_makes_of_them(data, cuts):
    assert "".join(fed(data, cuts, ())[1]) == data.decode(errors="replace")


def test_only_what_may_begin_a_stop_text_is_held_back():
    stream = TextStream(["</end>", "STOP"])
    assert [stream.add(piece) for piece in (b"a <", b"/en", b"x", b" ST", b"A")] == ["a ", "", "</enx", " ", "STA"]


def test_stop_texts_that_come_later_do_not_act_on_what_is_out():
    stream = TextStream()
    assert stream.add(b"no STOP here ") == "no STOP here "
    stream.watch(["STOP"])
    assert stream.add(b"but STOP there") == "but " and stream.stopped and stream.add(b"x") == ""
