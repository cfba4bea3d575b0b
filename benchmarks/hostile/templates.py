"""Chat templates that reach for the machine, or never end: beside the weights, in tokenizer_config.json, in a GGUF file."""

import struct
from collections.abc import Callable

from hostile.bases import Place, case, edit_json
from hostile.gguf import Head, rewrite, text

__all__ = ["TEMPLATES"]

_GOOD = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|endoftext|>{% endfor %}"

TEMPLATES: dict[str, Callable[[str], str]] = {
    "globals of a helper": lambda canary: "{{ cycler.__init__.__globals__.os.mkdir('" + canary + "') }}",
    "subclasses of a text": lambda canary: (
        "{% for c in ''.__class__.__mro__[1].__subclasses__() %}{% if c.__name__ == 'Popen' %}"
        "{{ c(['touch', '" + canary + "']) }}{% endif %}{% endfor %}"
    ),
    "attributes by the filter attr": lambda canary: "{{ (messages|attr('__class__')|attr('__base__')|attr('__subclasses__'))() }}",
    "a text's format method": lambda canary: "{{ '{0.__class__.__init__.__globals__}'.format(raise_exception) }}",
    "include and import": lambda canary: "{% include '/etc/passwd' %}{% import '../../outside/x' as x %}",
    "10^12 turns": lambda canary: "{% for i in range(1000000000000) %}{% endfor %}" + _GOOD,
    "loops in loops": lambda canary: (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
        "{% endfor %}{% endfor %}{% endfor %}" + _GOOD
    ),
    "a macro that calls itself": lambda canary: "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "a text of 10^10 letters": lambda canary: "{{ 'a' * 10000000000 }}",
    "a text that doubles forty times": lambda canary: (
        "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}"
    ),
    "10^5 brackets": lambda canary: "{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}",
    "powers of powers": lambda canary: "{{ 10 ** (10 ** 10) }}",
}


def _register(name: str, make: Callable[[str], str]) -> None:
    # Where a template is refused a folder's model is served as one that does not converse; the certificate's runtime says why.
    @case(f"template beside the weights: {name}", "hf", ("serve", "tokenizer", "transformers"), "template",
          not_refused=("serve", "tokenizer"))  # fmt: skip
    def _(place: Place, hostile: bool) -> None:
        (place.model / "chat_template.jinja").write_text(make(str(place.canary)) if hostile else _GOOD)

    @case(f"template in a GGUF file: {name}", "gguf", ("serve", "tokenizer", "llama.cpp"), "template",
          not_refused=("serve", "tokenizer"))  # fmt: skip
    def _(place: Place, hostile: bool) -> None:
        def change(head: Head) -> None:
            head.set("tokenizer.chat_template", 8, text(make(str(place.canary))))

        rewrite(place, hostile, change)


for _name, _make in TEMPLATES.items():
    _register(_name, _make)


@case("template in tokenizer_config.json: globals of a helper", "hf", ("serve", "tokenizer", "transformers"), "template",
      not_refused=("serve", "tokenizer"))  # fmt: skip
def _(place: Place, hostile: bool) -> None:
    (place.model / "chat_template.jinja").unlink()
    source = TEMPLATES["globals of a helper"](str(place.canary)) if hostile else _GOOD
    edit_json(place.model / "tokenizer_config.json", lambda values: values.update(chat_template=source))


@case("template of an MLX export: loops in loops", "mlx", ("MLX",), "template")
def _(place: Place, hostile: bool) -> None:
    (place.model / "chat_template.jinja").write_text(TEMPLATES["loops in loops"]("") if hostile else _GOOD)


@case("template of an OpenVINO export: loops in loops", "openvino", ("OpenVINO",), "template")
def _(place: Place, hostile: bool) -> None:
    (place.model / "chat_template.jinja").write_text(TEMPLATES["loops in loops"]("") if hostile else _GOOD)


@case("template in a GGUF file: a number", "gguf", ("serve", "tokenizer", "llama.cpp"), refused=False)
def _(place: Place, hostile: bool) -> None:
    rewrite(place, hostile, lambda head: head.set("tokenizer.chat_template", 4, struct.pack("<I", 7)))
