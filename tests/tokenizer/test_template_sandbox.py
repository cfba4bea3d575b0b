"""Nothing in a template reaches Python's objects, and none renders without end."""

import time
from datetime import datetime

import pytest

from pellucid.core.errors import DataError, UsageError
from pellucid.tokenizer.chat_template import ChatTemplate
from pellucid.tokenizer.template_sandbox import MOST_CHARS

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


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ messages[0].content }}{% endfor %}{% endfor %}",
        "{% for a in [1, 1] recursive %}{% if loop.depth < 60 %}{{ loop([1, 1]) }}{% endif %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% set ns = namespace(x='ab') %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for a in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{{ 'a' * 10 ** 10 }}",
        "{{ 10 ** 10 * 'a' }}",
        "{{ [1] * 10 ** 10 }}",
        "{{ 9 ** (9 ** 9) }}",
        "{{ 'a' | center(10 ** 10) }}",
        "{{ 'a'.ljust(10 ** 10) }}",
        "{{ 'a'.zfill(10 ** 10) }}",
        "{{ '%10000000000d' % 1 }}",
        "{{ '%*d' % (10 ** 10, 1) }}",
        "{{ '{:10000000000}'.format(1) }}",
        "{{ '{:{}}'.format(1, 10 ** 10) }}",
        "{{ '%10000000000d' | format(1) }}",
        "{{ (10 ** 400000) * (10 ** 400000) * (10 ** 400000) }}",
        "{{ ['a'] | map('string') | join('b' * 100) | batch(10 ** 10, 0) | list }}",
        "{{ ('\n' * 1000000) | indent(100000) }}",
        "{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}",
        "{{ ('a' * 1000000) | replace('a', 'b' * 1000000) }}",
        "{{ range(99999) | join('b' * 1000000) }}",
        "{{ range(99999) | map('string') | join('b' * 1000000) }}",
        "{{ ('b' * 1000000).join(['a'] * 1000000) }}",
        "{{ ('\t' * 1000000).expandtabs(100000) }}",
        "{{ [1] | batch(10 ** 10, 0) | list }}",
        "{{ ['a'] | map('center', 10 ** 10) | list }}",
        "{{ strftime_now('%10000000000Y') }}",
    ],
)
def test_a_template_that_would_render_without_end_is_refused_before_it_does(source: str) -> None:
    start = time.process_time()
    with pytest.raises(UsageError, match=rf"makes more than {MOST_CHARS:,} characters or loops without end"):
        render(source)
    # Far from a limit of speed: without the bound these take hours or all memory.
    assert time.process_time() - start < 60


DOUBLING = "{% set ns = namespace(x='\"') %}{% for a in range(28) %}{% set ns.x = EXPR %}{% endfor %}"
SHARED = "{% set ns = namespace(x=EXPR) %}{% for a in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}".replace("EXPR", "[1]")
TUPLES = SHARED.replace("[ns.x, ns.x]", "(ns.x, ns.x)")
LONG = "{% set b = 'x' * 50000000 %}{% for a in range(99999) %}{% if EXPR %}{% endif %}{% endfor %}"


@pytest.mark.parametrize(
    "source",
    [
        *(DOUBLING.replace("EXPR", made) for made in ("ns.x|tojson", "[ns.x]|string", "[ns.x] ~ ''", "'%s' % [ns.x]")),
        *(DOUBLING.replace("EXPR", made) for made in ("'{}'.format([ns.x])", "[[ns.x]]|join")),
        *(LONG.replace("EXPR", read) for read in ("b|upper", "b.upper()", "b[1:]", "b|trim", "'y' in b", "b == b ~ ''", "b|int")),
        *(LONG.replace("EXPR", read) for read in ("b is lower", "b|replace('y', 'z')", "b.find('y')", "b|list", "b.split('y')")),
        *(LONG.replace("EXPR", read) for read in ("b in ['a', b]", "[b]|map('upper')|list", "b.startswith(b)", "dict.fromkeys(b)")),
        *(SHARED + shown for shown in ("{{ ns.x }}", "{{ ns }}", "{{ ns.x|tojson }}", "{{ ns.x|upper }}", "{{ ns.x ~ '' }}")),
        *(
            SHARED + shown
            for shown in ("{{ '%s' % ns.x }}", "{{ [ns.x]|join }}", "{{ {'a': ns.x}.values() }}", "{{ [ns.x]|sort }}")
        ),
        *(SHARED + read for read in ("{{ ns.x == [1, ns.x] }}", "{{ ns.x in [ns.x] }}", "{{ ns.x.index(ns.x) }}")),
        *(TUPLES + looked_up for looked_up in ("{{ {ns.x: 1} }}", "{{ {'a': 1}[ns.x] }}", "{{ {'a': 1}.get(ns.x) }}")),
        "{{ ('\r' * 1000000) | indent(100000, true) }}",
        "{{ ('b' * 1000000).join(range(99999) | map('string')) }}",
        "{{ '{:>{w}}'.format('', w=10 ** 10) }}",
        "{{ '{:{}}'.format('', '>10000000000') }}",
        "{{ ('a' * 9000000).rfind('b' ~ 'a' * 4000000) }}",
        "{{ ('a' * 9000000).strip('b' * 4000000) }}",
        "{{ ('<' * 20000000) | e }}",
        "{% set a = 'x' | safe %}{{ a + '<' * 20000000 }}",
        "{% for a in range(9999) %}{{ range(99999) | max }}{% endfor %}",
        "{% for a in range(9999) %}{% if range(99999) | select('odd') | list %}{% endif %}{% endfor %}",
        "{% macro m() %}{{ varargs | length }}{% endmacro %}{% for a in range(99999) %}{{ m(*range(99999)) }}{% endfor %}",
    ],
)
def test_what_is_read_costs_as_well_as_what_is_made(source: str) -> None:
    with pytest.raises(UsageError, match=rf"makes more than {MOST_CHARS:,} characters or loops without end"):
        render(source)


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


@pytest.mark.parametrize("dead", ["5 | round(-4000000)", "10 ** 10 ** 10", "'a' | center(10 ** 10)", "'x'.encode() * 1000000000"])
def test_the_compiler_works_nothing_out_that_would_not_be_counted(dead: str) -> None:
    """What would cost too much is not reached when rendered, and so was not done by the compiler if this ends."""
    assert render("{% if false %}{{ " + dead + " }}{% endif %}a") == "a"


@pytest.mark.parametrize("source", ["{% for a in range(10 ** 9) %}{% endfor %}", "{{ range(99999999) | list }}"])
def test_the_range_of_the_sandbox_is_bounded_as_in_transformers(source: str) -> None:
    with pytest.raises(DataError, match="OverflowError: Range too big"):
        render(source)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ '%d' % 17000000000000 }}", "17000000000000"),
        ("{{ '100% of 17000000000000' }}", "100% of 17000000000000"),
        ("{{ '{} {}'.format(17000000000000, 'a') }}", "17000000000000 a"),
        ("{{ 3 * 17000000000000 }}", "51000000000000"),
        ("{{ 'a' | default(17000000000000) }}", "a"),
        ("{{ ' '.join(['a', 'b']) }}", "a b"),
        ("{{ strftime_now('%Y-%m-%d') }}", "2024-05-17"),
        ("{% for a in range(9999) %}{{ '' }}{% endfor %}", ""),
        ("{{ (messages[0].content * 1000) | length }}", "1000000"),
        ("{{ 10 ** 40 // 10 ** 38 - 1 }}{{ 2.567 | round(1) }}{{ [1, 2] | sum(start=0.5) }}", "992.63.5"),
    ],
)
def test_large_numbers_and_long_loops_that_make_nothing_large_are_let_through(source: str, text: str) -> None:
    assert render(source) == text


@pytest.mark.parametrize("source", ["{{ lipsum() }}", "{{ [1, 2] | random }}"])
def test_what_would_render_otherwise_each_time_is_not_there(source: str) -> None:
    with pytest.raises((UsageError, DataError)):
        render(source)
