import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from pellucid.core.errors import UsageError
from pellucid.recipe.conversations import ChatConfig
from pellucid.stages.chat import FIXED_DATE, OpenEncode, open_chat_format
from pellucid.tokenizer.tokenizer import load_tokenizer
from pellucid.tokenizer.training import train_bpe

TALK = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So it is."}]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vocabulary")
    train_bpe(["Why is it so? So it is, because it is so."], 300).save(folder)
    return folder


def test_the_encoder_crosses_processes_and_gives_what_the_format_gives(vocabulary: Path, tmp_path: Path) -> None:
    chat = ChatConfig(template="chatml", system="Be brief.")
    encode = pickle.loads(pickle.dumps(OpenEncode(chat, vocabulary, tmp_path, ("a", "b"))))()
    ids, targets = encode(TALK, True)
    assert load_tokenizer(vocabulary).decode(ids).count("Be brief.") == 1
    assert (list(ids), list(targets)) == tuple(open_chat_format(chat, vocabulary, tmp_path).encode(TALK, last_only=True))


def test_a_template_that_writes_the_date_gives_the_same_ids_on_any_day(vocabulary: Path, tmp_path: Path) -> None:
    (tmp_path / "dated.jinja").write_text(
        "{{ strftime_now('%d %b %Y') }}\n{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    text = open_chat_format(ChatConfig(template="dated.jinja"), vocabulary, tmp_path).text(TALK)
    assert text.startswith(f"{FIXED_DATE:%d %b %Y}\nuser: Why?")


def test_a_template_that_is_not_there_is_named(vocabulary: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"chat.template: 'gone.jinja'"):
        open_chat_format(ChatConfig(template="gone.jinja"), vocabulary, tmp_path)


def test_processes_that_encode_import_nothing_that_only_training_needs() -> None:
    code = "import sys, pellucid.stages.chat, pellucid.conversations.chunks; assert not {'torch', 'datasets'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
