import pytest


@pytest.fixture
def template():
    return "{% for m in messages %}[{{ m['role'] }}|{{ m['content'] }}]{% endfor %}{{ '[assistant|' if add_generation_prompt }}"
