"""Nothing in a template reaches Python's objects."""

from datetime import datetime

import pytest

from pellucid.core.errors import DataError, UsageError
from pellucid.tokenizer.chat_template import ChatTemplate

MESSAGES = [{"role": "user", "content": "x" * 1000}]


def render(source: str) -> str:
    return ChatTemplate(source, "t", datetime(2024, 5, 17)).render(MESSAGES, {}).text


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__'] }}",
        "{{ '' | attr('__class__') }}",
        "{{ raise_exception.__globals__ }}",
        "{{ strftime_now.__globals__ }}",
        "{{ strftime_now.__closure__[0].cell_contents }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ namespace.mro() }}",
        "{{ dict.__class__ }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ joiner().__init__ }}",
        "{{ self.__dict__ }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ ['a'] | map('attr', '__class__') | list }}",
        "{{ ['a'] | map(attribute='__class__') | list }}",
        "{{ '{a.__class__}'.format_map({'a': 1}) }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'role': 'system'}) }}",
        "{{ messages.clear() }}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
        "{{ namespace(__class__=1) }}",
        "{% macro m() %}{% endmacro %}{{ m._func }}",
        "{% for m in messages %}{{ loop.__class__ }}{% endfor %}",
    ],
)
def test_a_template_that_reaches_for_python_is_refused_and_changes_nothing(source: str) -> None:
    with pytest.raises(UsageError, match=r"chat template t, line 1, is not allowed"):
        render(source)
    assert MESSAGES == [{"role": "user", "content": "x" * 1000}]


SHARED = "{% set ns = namespace(x=EXPR) %}{% for a in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}".replace("EXPR", "[1]")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ 'x'.encode() * 1000000000 }}", "the attribute 'encode' of a str is out of reach"),
        ("{{ 'x'.encode().ljust(10 ** 9) }}", "the attribute 'encode' of a str is out of reach"),
        ("{{ 'x'['encode']() }}", "the attribute 'encode' of a str is out of reach"),
        ("{{ 'x'.translate({120: 'long'}) }}", "the attribute 'translate' of a str is out of reach"),
        ("{{ (1).to_bytes(10 ** 9, 'big') }}", "the attribute 'to_bytes' of a int is out of reach"),
        ("{{ [1] | tojson(indent=500000000) }}", "tojson takes an indent and separators of 16 characters at most"),
        ("{{ [1] | tojson(indent=' ' * 17) }}", "tojson takes an indent and separators of 16 characters at most"),
        ("{{ [1] | tojson(separators=('x' * 17, ':')) }}", "tojson takes an indent and separators of 16 characters at most"),
        ("{{ 5 | round(-4000000) }}", "round takes a precision of 100 digits at most, not -4000000"),
        ("{{ 5 | round(-10 ** 9) }}", "round takes a precision of 100 digits at most, not -1000000000"),
        ("{{ 5 | round(1000000000, 'ceil') }}", "round takes a precision of 100 digits at most, not 1000000000"),
        ("{{ [5] | map('round', -4000000) | list }}", "round takes a precision of 100 digits at most, not -4000000"),
        ("{{ ([[0] * 1000] * 2000) | sum(start=[]) }}", "sum adds numbers, and does not start with a list"),
        (SHARED.replace("range(40)", "range(99)") + "{{ ns.x }}", "lists or mappings are nested deeper than 50"),
        ("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", "lists or mappings are nested deeper than 50"),
        ("{{ 'x' | attr('upper') }}", "the filter 'attr' is out of reach"),
        ("{{ 'x' | pprint }}", "the filter 'pprint' is out of reach"),
        ("{{ ['x'] | map('urlize') | list }}", "the filter 'urlize' is out of reach"),
        ("{{ 'x' is escaped }}", "the test 'escaped' is out of reach"),
        ("{{ range(5).index(3) }}", "the attribute 'index' of a range is out of reach"),
    ],
)
def test_what_chat_templates_do_not_use_is_withheld(source: str, reason: str) -> None:
    with pytest.raises(UsageError, match=r"chat template t, line 1, is not allowed what it does: ") as caught:
        render(source)
    assert reason in str(caught.value)


@pytest.mark.parametrize("source", ["{% for a in range(10 ** 9) %}{% endfor %}", "{{ range(99999999) | list }}"])
def test_the_range_of_the_sandbox_is_bounded_as_in_transformers(source: str) -> None:
    with pytest.raises(DataError, match="OverflowError: Range too big"):
        render(source)


@pytest.mark.parametrize("source", ["{{ lipsum() }}", "{{ [1, 2] | random }}"])
def test_what_would_render_otherwise_each_time_is_not_there(source: str) -> None:
    with pytest.raises((UsageError, DataError)):
        render(source)
