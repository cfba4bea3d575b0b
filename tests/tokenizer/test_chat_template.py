"""Templates render as in transformers, word for word, and what goes wrong in one is said with its line."""

import pickle
from datetime import datetime

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from pellucid.core.errors import DataError, UsageError
from pellucid.tokenizer.chat_template import ChatTemplate, Rendered, unused

NOW = datetime(2024, 5, 17)
SHORT = [
    {"role": "user", "content": "Hi\n"},
    {"role": "assistant", "content": "  Yes <b> "},
    {"role": "user", "content": "é\U0001f680"},
]

# What published templates make use of, each in its own way.
DIALECT = {
    "whitespace": (
        "\n  {% for m in messages %}\n  {{ m['content'] }}\n    {%- if loop.last %}\n last {% endif %}\n  "
        "{%+ if 1 %} x\n{%+ endif +%}\n{% endfor %}\n\n"
    ),
    "filters": (
        "{{ messages[1]['content'] | trim }}|{{ messages | tojson }}|{{ messages[:1] | tojson(indent=2) }}|{{ messages | length }}"
    ),
    "namespace": (
        "{% set ns = namespace(n=0, self=1) %}{% for m in messages %}{% set ns.n = ns.n + loop.index %}{% endfor %}{{ ns.n }}"
    ),
    "controls": (
        "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role ~ loop.index0 }}{% break %}{% endfor %}"
    ),
    "macro": (
        "{% macro turn(m, end='!') %}{{ m.role | upper }}: {{ m.content }}{{ end }}{% endmacro %}"
        "{% for m in messages %}{{ turn(m) }}{% endfor %}"
    ),
    "undefined": (
        "{% if tools is defined and tools %}t{% endif %}{{ nothing }}{% if documents is none %}d{% endif %}"
        "{{ messages[0].missing }}"
    ),
    "strings": (
        "{{ '%s-%5d' % ('a', 3) }}{{ 'a,b'.split(',')[-1] }}{{ '{:>4}'.format('x') }}{{ 'ab' * 3 }}"
        "{{ ['x'] + ['y'] }}{{ 7 ** 2 % 5 }}"
    ),
    "dict": "{% set d = dict(a=1) %}{{ d.a }}{{ dict.fromkeys(['k'], 2) }}{% for k, v in d.items() %}{{ k }}{{ v }}{% endfor %}",
    "recursive": (
        "{% for x in [[1, [2]], [3]] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}{% endif %}{% endfor %}"
    ),
    "loops": (
        "{% for m in messages if m.role == 'user' %}{{ loop.length }}{{ loop.revindex }}{{ loop.nextitem }}"
        "{% else %}none{% endfor %}"
    ),
    "joins": (
        "{{ messages | map(attribute='role') | join('/') }}{{ 'a b' | replace(' ', '--') | center(12) }}"
        "{{ 'x\ny' | indent(3, true) }}"
    ),
    "set block": "{% set text %}{% for m in messages %}{{ m.content }},{% endfor %}{% endset %}{{ text | trim(',') }}",
    "generation": (
        "{% for m in messages %}\n{% generation %}\n {{ m.content }}\n{% endgeneration %}\n {%- generation -%} "
        "{% set a = 1 %}x {%- endgeneration %} {% endfor %}"
    ),
    "text": (
        "{{ ' a-b '.strip() | title }}{{ 'a|b'.split('|')[-1].rstrip('\n').lstrip() }}{{ 'xyz'[1:] }}{{ 'xy'[::-1] }}{{ 'x'[:-1] }}"
        "{{ 'x'.startswith(('x', 'y')) }}{{ 'x'.endswith('z') }}{{ 'b' in 'abc' }}{{ 'Q' not in messages[0].content }}"
        "{{ messages[0].content | upper ~ 'A' | lower }}{{ 'a-b'.replace('-', '+') }}{{ 'a b'.title() }}{{ '%s/%s' % (1, [2]) }}"
        "{{ 'a<b' | e }}{{ ('<' | safe) + '<' }}{{ ('word ' * 9) | truncate(20) }}"
        "{{ 'a' 'b' | capitalize }}{{ 'a' | default('b') }}"
    ),
    "values": (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('order') }}{% endif %}"
        "{% if m.content is string and m.content is not mapping and m.tools is not defined %}{{ m.get('name', '?') }}{% endif %}"
        "{% if m.role in ['user', 'tool'] %}{{ m.role }}{% endif %}{{ '</think>' in m.content }}{{ loop.first }}{{ loop.last }}"
        "{% for k, v in m.items() if k != 'content' %}{{ k }}={{ v }}{% endfor %}{{ m.keys() | list }}{% endfor %}"
        "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list | length }}"
        "{{ messages | rejectattr('role', 'eq', 'user') | list | tojson(indent=4) }}{{ (messages | first).role }}"
        "{{ (messages | last)['role'] }}{{ messages[1:][::-1] | map(attribute='role') | join(', ') }}{{ messages[-1].role }}"
        "{{ [3, 1, 2] | sort | first }}{{ [3, 1] | max }}{{ ['b', 'b'] | unique | list }}{{ {'b': 1, 'a': [2]} | dictsort }}"
        "{{ {'a': 1} | items | list }}{{ [1, 2] == [1, 2] }}{{ 3 is divisibleby 3 }}{{ messages[0] == messages[0] }}"
        "{{ [1, 2, 3] | select('odd') | list }}{{ 'x' is iterable }}{{ none is none }}{{ 7 // 2 - 1 / 4 }}{{ '7' | int + 1 }}"
        "{{ [1, 2] | sum }}{{ 3.14159 | round(2) }}{{ [1, 2] | reverse | list }}{{ [1, 2] | batch(1) | list }}{{ -3 | abs }}"
        "{{ messages | groupby('role') | map(attribute='grouper') | list }}{{ ['x', ''] | select | list }}{{ {1: 'a'}[1] }}"
    ),
    "tools": (
        "{% set tool = {'name': 'f', 'parameters': {'properties': {'x': {'type': ['string', 'null'], 'enum': [1, 2.5, true]}}}} %}"
        "{{ tool | tojson }}{{ tool | tojson(indent=4) }}{{ tool | tojson(separators=(',', ':'), sort_keys=true) }}{{ tool }}"
        "{% for name, spec in tool.parameters.properties.items() %}{{ name }}: {{ spec.type | join('|') }} {{ spec.enum | string }}"
        "{% endfor %}{% if 'name' in tool and tool is mapping %}{{ tool.name ~ tool['parameters'] }}{% endif %}"
    ),
    "searching back": (
        "{% set ns = namespace(found=false, last=messages|length - 1) %}{% for m in messages[::-1] %}"
        "{% set index = (messages | length - 1) - loop.index0 %}{% if not ns.found and m.role == 'user' %}{% set ns.found = true %}"
        "{% set ns.last = index %}{% endif %}{% endfor %}{{ ns.last }}{{ ns.found }}"
        "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}"
        "{% for m in rest %}{{ bos_token + '[' ~ m.role + ']' + m['content'].strip() + '\\n' }}{% endfor %}"
    ),
    "in a macro": (
        "{% macro t(m) %}<{% generation %}{{ m.content }}{% endgeneration %}>{% endmacro %}"
        "{% for m in messages %}{{ t(m) }}{% endfor %}"
    ),
}


def theirs(source: str, messages: list[dict[str, str]], prompt: bool = False) -> str:
    rendered, _ = render_jinja_template([messages], chat_template=source, add_generation_prompt=prompt, bos_token="<s>")
    text: str = rendered[0]
    return text


def ours(source: str, messages: list[dict[str, str]] = SHORT) -> Rendered:
    return ChatTemplate(source, "t", NOW).render(messages, {"add_generation_prompt": False, "bos_token": "<s>"})


@pytest.mark.parametrize("name", DIALECT)
def test_a_template_renders_as_in_transformers_with_and_without_its_generation_tags(name: str) -> None:
    source = DIALECT[name]
    assert ours(source).text == theirs(source, SHORT)
    stripped = ChatTemplate(source, "t", NOW).without_tags
    assert "{% generation" not in stripped.replace("{%-", "{%")
    assert ours(stripped) == Rendered(theirs(source, SHORT), [])


def test_spans_are_those_of_the_generation_tags_wherever_they_stand() -> None:
    rendered = ours("{% for m in messages %}[{% generation %}{{ m.content }}.{% endgeneration %}]{% endfor %}")
    assert [rendered.text[slice(*span)] for span in rendered.spans] == [m["content"] + "." for m in SHORT]
    for source in (DIALECT["in a macro"], "{% set b %}{{ 'é' }}<{% generation %}Hi\n{% endgeneration %}{% endset %}{{ b }}"):
        rendered = ours(source)
        assert rendered.text[slice(*rendered.spans[0])] == "Hi\n"
    nested = ours("a{% generation %}b{% generation %}c{% endgeneration %}{% generation %}{% endgeneration %}d{% endgeneration %}")
    assert nested == Rendered("abcd", [(1, 4)])


def test_the_characters_that_enclose_spans_may_be_in_a_message() -> None:
    marks = unused(2, [])
    messages = [{"role": "user", "content": marks}]
    rendered = ours("{% generation %}{{ messages[0].content }}{% endgeneration %}", messages)
    assert rendered == Rendered(marks, [(0, 2)])
    assert unused(40, ["".join(map(chr, range(0xFDD0, 0xFDF0)))]) == "".join(map(chr, range(0xF0000, 0xF0028)))


def test_the_time_that_templates_are_told_stands_still() -> None:
    assert ours("{{ strftime_now('%d %b %Y') }}").text == "17 May 2024"


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("a\n{% for m in messages %}\n{{ m }}", "line 3"),
        ("a\n\n{{ x | no_such_filter }}", "line 3"),
        ("{% generation %}x", "line 1"),
        ("{% include 'other' %}{% endif %}", "line 1"),
        ("{" * 3, "line 1"),
    ],
)
def test_a_template_that_does_not_compile_is_named_with_the_line(source: str, line: str) -> None:
    with pytest.raises(UsageError, match=f"chat template t, {line}: "):
        ChatTemplate(source, "t", NOW)


def test_a_template_nested_too_deeply_is_refused() -> None:
    for source in ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "{% if 1 %}" * 500 + "{% endif %}" * 500):
        with pytest.raises(UsageError, match="does not compile"):
            ChatTemplate(source, "t", NOW)


def test_what_a_template_refuses_is_told_with_its_own_words_and_the_line() -> None:
    with pytest.raises(DataError, match=r"chat template t, line 2, refuses the conversation: no such role"):
        ours("\n{{ raise_exception('no such role') }}")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("\n\n{{ messages[9].content.x }}", "line 3, fails: UndefinedError"),
        ("{{ 1 / 0 }}", "line 1, fails: ZeroDivisionError"),
        ("{{ 1 + 'a' }}", "line 1, fails: TypeError"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "fails: RecursionError"),
        ("{% include 'other' %}", "line 1, fails: TypeError"),
        ("{{ missing | tojson }}", "line 1, fails: TypeError"),
    ],
)
def test_a_template_that_fails_is_told_with_reason_and_line(source: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        ours(source)


def test_a_template_survives_the_way_to_another_process() -> None:
    source = DIALECT["generation"]
    again = pickle.loads(pickle.dumps(ChatTemplate(source, "t", NOW)))
    assert again.render(SHORT, {}) == ours(source)
