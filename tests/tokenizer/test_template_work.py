"""No template renders without end."""

import time
from datetime import datetime

import pytest

from pellucid.core.errors import UsageError
from pellucid.tokenizer.chat_template import ChatTemplate
from pellucid.tokenizer.template_work import MOST_CHARS

MESSAGES = [{"role": "user", "content": "x" * 1000}]


def render(source: str) -> str:
    return ChatTemplate(source, "t", datetime(2024, 5, 17)).render(MESSAGES, {}).text


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


@pytest.mark.parametrize("dead", ["5 | round(-4000000)", "10 ** 10 ** 10", "'a' | center(10 ** 10)", "'x'.encode() * 1000000000"])
def test_the_compiler_works_nothing_out_that_would_not_be_counted(dead: str) -> None:
    """What would cost too much is not reached when rendered, and so was not done by the compiler if this ends."""
    assert render("{% if false %}{{ " + dead + " }}{% endif %}a") == "a"


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
