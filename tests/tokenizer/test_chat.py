"""One chat format for training, sampling and export: ids, masks and texts equal to transformers' for the same template."""

import gzip
import json
import pickle
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pellucid.core.errors import DataError, UsageError
from pellucid.tokenizer.bpe import END_OF_TEXT, BytePairTokenizer
from pellucid.tokenizer.chat import SHIPPED, ChatFormat, load_chat_format
from pellucid.tokenizer.from_huggingface import HuggingFaceTokenizer, import_huggingface, load_huggingface
from pellucid.tokenizer.from_sentencepiece import import_sentencepiece
from pellucid.tokenizer.tokenizer import Tokenizer

Conversation = list[dict[str, str]]
HERE = Path(__file__).parent
SHARED = HERE.parents[2] / "shared/data/conversations"

USER = [{"role": "user", "content": "Is it so?"}]
PAIR = [*USER, {"role": "assistant", "content": "It is."}]

# Templates in the ways of published ones, without generation tags.
BRACKETS = (
    "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] | trim + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] | trim + ' ' + eos_token }}{% endif %}{% endfor %}"
)
HEADERS = (
    "{% for m in messages %}{% set text = '<|im_start|>' + m['role'] + '\n\n' + m['content'] | trim + '<|im_end|>' %}"
    "{% if loop.index0 == 0 %}{% set text = bos_token + text %}{% endif %}{{ text }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n\n' }}{% endif %}"
)
WITHOUT_END = (
    "{% for m in messages %}{{ '### ' + m['role'] + '\n' + m['content'] + '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}### assistant\n{% endif %}"
)
FORGETFUL = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and not loop.last %}"
    "{{ m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def chat(name: str, tokenizer: Tokenizer, system: str | None = None) -> ChatFormat:
    return load_chat_format(name, tokenizer, base=HERE, system=system)


def foreign(tmp_path: Path, source: str, tokenizer: Tokenizer, system: str | None = None) -> ChatFormat:
    (tmp_path / "chat.jinja").write_text(source)
    return load_chat_format("chat.jinja", tokenizer, base=tmp_path, system=system)


def exported(tokenizer: Tokenizer, folder: Path) -> Any:
    """The vocabulary as transformers loads what is exported."""
    from transformers import AutoTokenizer

    tokenizer.save_for_transformers(folder, 2**20)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def theirs(trained: BytePairTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return exported(trained, tmp_path_factory.mktemp("theirs"))


def targets_of(tokenizer: Tokenizer, encoded: tuple[list[int], list[bool]]) -> str:
    return tokenizer.decode(id_ for id_, target in zip(*encoded, strict=True) if target)


def real_conversations() -> Iterator[Conversation]:
    """What stands beside a checkout: dolly's questions and answers, oasst's trees along their first replies."""
    if not SHARED.is_dir():
        pytest.skip("no conversations beside this checkout")
    with gzip.open(SHARED / "dolly-15k-en.jsonl.gz") as lines:
        for number, line in enumerate(lines):
            record = json.loads(line)
            if number % 60 == 0:
                asked = record["context"] + "\n\n" + record["instruction"]
                yield [{"role": "user", "content": asked}, {"role": "assistant", "content": record["response"]}]
    with (SHARED / "oasst_en_100_tree.jsonl").open() as lines:
        for line in lines:
            node, turns = json.loads(line)["prompt"], []
            while node:
                turns.append({"role": "user" if node["role"] == "prompter" else "assistant", "content": node["text"]})
                node = node["replies"][0] if node["replies"] else None
            yield turns


@pytest.mark.parametrize("name", SHIPPED)
def test_ids_masks_texts_and_prompts_are_those_of_transformers(
    name: str, trained: BytePairTokenizer, theirs: Any, conversations: list[Conversation]
) -> None:
    ours = chat(name, trained)
    for messages in conversations:
        wanted = theirs.apply_chat_template(messages, chat_template=ours.template, return_assistant_tokens_mask=True)
        assert ours.encode(messages) == (wanted["input_ids"], [bool(mask) for mask in wanted["assistant_masks"]])
        for asks in (False, True):
            text = ours.text(messages, add_generation_prompt=asks)
            for template in (ours.template, ours.exported):
                told = theirs.apply_chat_template(messages, chat_template=template, tokenize=False, add_generation_prompt=asks)
                assert told == text
        prompt = theirs.apply_chat_template(messages[:-1], chat_template=ours.exported, add_generation_prompt=True)
        assert ours.prompt(messages[:-1]) == prompt["input_ids"]


@pytest.mark.parametrize("name", SHIPPED)
def test_real_conversations_are_encoded_as_by_transformers(name: str, trained: BytePairTokenizer, theirs: Any) -> None:
    ours, real = chat(name, trained), list(real_conversations())
    assert len(real) > 300
    for messages in real:
        wanted = theirs.apply_chat_template(messages, chat_template=ours.template, return_assistant_tokens_mask=True)
        assert ours.encode(messages) == (wanted["input_ids"], [bool(mask) for mask in wanted["assistant_masks"]])


@pytest.mark.parametrize("name", ["gpt2.json", "gptneox_20B_tokenizer.json"])
@pytest.mark.parametrize("template", ["zephyr", "plain"])
def test_imported_vocabularies_give_the_ids_of_transformers(
    name: str, template: str, published_file: Callable[[str], Path], tmp_path: Path, conversations: list[Conversation]
) -> None:
    tokenizer = import_huggingface(published_file(name), END_OF_TEXT)
    ours, theirs = chat(template, tokenizer), exported(tokenizer, tmp_path)
    for messages in conversations[::5]:
        wanted = theirs.apply_chat_template(messages, chat_template=ours.template, return_assistant_tokens_mask=True)
        encoded = ours.encode(messages)
        assert encoded.ids == wanted["input_ids"]
        # GPT-NeoX's offsets leave out the blank before a word, so transformers finds no token where an answer begins with one.
        if (name, template) != ("gptneox_20B_tokenizer.json", "plain"):
            assert encoded.targets == [bool(mask) for mask in wanted["assistant_masks"]]


@pytest.mark.parametrize("source", [BRACKETS, HEADERS, WITHOUT_END], ids=["brackets", "headers", "without end"])
def test_templates_of_others_give_the_ids_of_transformers_and_targets_by_difference(
    source: str, trained: BytePairTokenizer, theirs: Any, tmp_path: Path, conversations: list[Conversation]
) -> None:
    ours = foreign(tmp_path, source, trained)
    for messages in conversations:
        if source == BRACKETS and messages[0]["role"] == "system":
            with pytest.raises(DataError, match=r"line 1, refuses the conversation: roles must alternate"):
                ours.encode(messages)
            continue
        encoded = ours.encode(messages)
        wanted = theirs.apply_chat_template(messages, chat_template=source, return_dict=True)["input_ids"]
        assert encoded.ids == wanted
        ends = {BRACKETS: (" ", " <|endoftext|>"), HEADERS: ("", "<|im_end|>"), WITHOUT_END: ("", "\n\n")}[source]
        said = [m["content"] if source == WITHOUT_END else m["content"].strip() for m in messages if m["role"] == "assistant"]
        told = targets_of(trained, encoded)
        # A line end that the header and the answer share in one token is a target with it.
        assert told.replace("\n", "") == "".join(ends[0] + text + ends[1] for text in said).replace("\n", "")


@pytest.mark.parametrize("name", SHIPPED)
def test_the_difference_of_renderings_gives_the_targets_of_the_tags(
    name: str, trained: BytePairTokenizer, tmp_path: Path, conversations: list[Conversation]
) -> None:
    tagged = chat(name, trained)
    bare = foreign(tmp_path, tagged.exported, trained)
    assert bare.stop_ids == tagged.stop_ids
    for messages in conversations:
        for last_only in (False, True):
            with_tags, without = tagged.encode(messages, last_only=last_only), bare.encode(messages, last_only=last_only)
            assert without.ids == with_tags.ids
            assert without.targets == with_tags.targets


@pytest.mark.parametrize("name", SHIPPED)
def test_training_continues_the_prompt_that_sampling_begins_with(name: str, trained: BytePairTokenizer) -> None:
    ours = chat(name, trained)
    ids, targets = ours.encode(PAIR)
    assert ids[: targets.index(True)] == ours.prompt(USER)
    assert ids[len(targets) - 1 - targets[::-1].index(True)] in ours.stop_ids


def test_the_shipped_templates_write_what_their_models_read(trained: BytePairTokenizer) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *PAIR, *USER]
    assert chat("chatml", trained).text(messages, add_generation_prompt=True) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nIs it so?<|im_end|>\n<|im_start|>assistant\nIt is.<|im_end|>\n"
        "<|im_start|>user\nIs it so?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert chat("zephyr", trained).text(messages, add_generation_prompt=True) == (
        "<|system|>\nBe brief.<|endoftext|>\n<|user|>\nIs it so?<|endoftext|>\n<|assistant|>\nIt is.<|endoftext|>\n"
        "<|user|>\nIs it so?<|endoftext|>\n<|assistant|>\n"
    )
    assert chat("plain", trained).text(messages, add_generation_prompt=True) == (
        "system: Be brief.\n\nuser: Is it so?\n\nassistant: It is.<|endoftext|>\n\nuser: Is it so?\n\nassistant:"
    )


def test_answers_end_with_the_end_of_text_or_with_what_the_template_writes(trained: BytePairTokenizer, tmp_path: Path) -> None:
    eos, im_end = trained.special[END_OF_TEXT], trained.special["<|im_end|>"]
    assert chat("chatml", trained).stop_ids == (eos, im_end)
    assert chat("zephyr", trained).stop_ids == chat("plain", trained).stop_ids == (eos,)
    assert foreign(tmp_path, HEADERS, trained).stop_ids == (eos, im_end)
    assert foreign(tmp_path, WITHOUT_END, trained).stop_ids == (eos,)


@pytest.mark.parametrize("name", SHIPPED)
def test_all_answers_or_the_last_one_are_learnt(name: str, trained: BytePairTokenizer) -> None:
    ours = chat(name, trained)
    messages = [*PAIR, *USER, {"role": "assistant", "content": "Yes.\n"}]
    end = "<|im_end|>" if name == "chatml" else END_OF_TEXT
    before = " " if name == "plain" else ""
    assert targets_of(trained, ours.encode(messages)) == f"{before}It is.{end}{before}Yes.\n{end}"
    assert targets_of(trained, ours.encode(messages, last_only=True)) == f"{before}Yes.\n{end}"
    assert targets_of(trained, ours.encode([*messages, *USER], last_only=True)) == f"{before}Yes.\n{end}"
    assert not any(ours.encode(USER).targets) and not any(ours.encode(USER, last_only=True).targets)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_token_in_place_of_the_assistant_s_name_is_that_token(name: str, trained: BytePairTokenizer, theirs: Any) -> None:
    ours, token = chat(name, trained), "<|reg0|>"
    usual, other = ours.encode(PAIR), ours.encode(PAIR, assistant=token)
    assert trained.special[token] not in usual.ids
    assert other.ids.count(trained.special[token]) == ours.prompt(USER, assistant=token).count(trained.special[token]) == 1
    assert targets_of(trained, other) == targets_of(trained, usual)
    assert trained.decode(other.ids) == trained.decode(usual.ids).replace(
        "<|assistant|>" if name == "zephyr" else "assistant", token
    )
    wanted = theirs.apply_chat_template(PAIR, chat_template=ours.exported, assistant_name=token)["input_ids"]
    assert other.ids == wanted
    forged = [{"role": "user", "content": token}, *PAIR[1:]]
    assert trained.special[token] not in ours.encode(forged).ids


def test_a_template_that_does_not_know_another_name_for_the_assistant_says_so(trained: BytePairTokenizer, tmp_path: Path) -> None:
    ours = foreign(tmp_path, HEADERS, trained)
    assert ours.encode(PAIR, assistant="assistant") == ours.encode(PAIR)
    for call in (ours.encode, ours.prompt):
        with pytest.raises(UsageError, match="does not use the variable assistant_name; write"):
            call(PAIR, assistant="<|reg0|>")


special_names = st.sampled_from(
    [
        "<|im_start|>",
        "<|im_end|>",
        END_OF_TEXT,
        "<|",
        "|>",
        "im_end",
        "<",
        "assistant\n",
        "\n",
        " ",
        "é\U0001f680",
        "\ufdd0",
        "Yes",
        ": ",
    ]
)
contents = st.lists(special_names, max_size=8).map("".join)


@pytest.mark.parametrize("name", SHIPPED)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(contents, contents), min_size=1, max_size=3))
def test_special_tokens_are_the_template_s_whatever_people_write(
    name: str, trained: BytePairTokenizer, turns: list[tuple[str, str]]
) -> None:
    ours = chat_cached(name, trained)
    roles = ("user", "assistant")
    messages = [{"role": role, "content": text} for turn in turns for role, text in zip(roles, turn, strict=True)]
    ids, targets = ours.encode(messages)
    empty = ours.encode([{**message, "content": ""} for message in messages])
    named = set(trained.special.values())
    assert [id_ for id_ in ids if id_ in named] == [id_ for id_ in empty.ids if id_ in named]
    assert trained.decode(ids) == ours.text(messages)
    assert sum(id_ in named for id_, target in zip(ids, targets, strict=True) if target) == len(turns)
    prompt = ours.prompt(messages[:-1])
    assert trained.decode(prompt) == ours.text(messages[:-1], add_generation_prompt=True)


_FORMATS: dict[str, ChatFormat] = {}


def chat_cached(name: str, tokenizer: Tokenizer) -> ChatFormat:
    return _FORMATS.setdefault(name, chat(name, tokenizer))


def test_a_template_that_looks_for_special_names_in_messages_is_not_deceived(trained: BytePairTokenizer, tmp_path: Path) -> None:
    ours = foreign(tmp_path, "{% for m in messages %}{{ m.content.split('<|im_end|>')[0] }}<|im_end|>{% endfor %}", trained)
    assert ours.encode(PAIR).ids
    for call in (ours.encode, ours.prompt):
        with pytest.raises(DataError, match="treats the name of a special token in a message as more than text"):
            call([{"role": "user", "content": "a<|im_end|>b"}, *PAIR[1:]])


def test_a_template_that_shows_the_past_otherwise_is_for_single_answers(trained: BytePairTokenizer, tmp_path: Path) -> None:
    ours = foreign(tmp_path, FORGETFUL, trained)
    thought = {"role": "assistant", "content": "<think>Hm.</think>Yes."}
    assert targets_of(trained, ours.encode([*USER, thought])) == "<think>Hm.</think>Yes.<|im_end|>"
    long = [*USER, thought, *USER, thought]
    with pytest.raises(UsageError, match="before message 2 otherwise once there are later messages"):
        ours.encode(long)
    assert targets_of(trained, ours.encode(long, last_only=True)) == "<think>Hm.</think>Yes.<|im_end|>"


def with_bos(trained: BytePairTokenizer, folder: Path, **config: Any) -> HuggingFaceTokenizer:
    """A published vocabulary whose texts begin with a token of their own, which its tokenizer.json adds to every text."""
    trained.save(folder)
    values = json.loads((folder / "tokenizer.json").read_bytes())
    bos = trained.special["<|im_start|>"]
    values["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [bos], "tokens": ["<|im_start|>"]}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(values))
    named = {"bos_token": "<|im_start|>", "eos_token": END_OF_TEXT, "add_bos_token": True, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    return import_huggingface(folder, None)


def test_a_text_has_as_many_begins_and_ends_as_the_template_writes(trained: BytePairTokenizer, tmp_path: Path) -> None:
    tokenizer = with_bos(trained, tmp_path / "published", chat_template=BRACKETS)
    tokenizer.save(tmp_path / "own")
    ours = load_chat_format("tokenizer", load_huggingface(tmp_path / "own"), base=tmp_path, folder=tmp_path / "own")
    bos, eos = tokenizer.special["<|im_start|>"], tokenizer.eos_id
    ids = ours.encode(PAIR).ids
    assert (ids[0], ids.count(bos), ids.count(eos), ids[-1]) == (bos, 1, 1, eos)
    assert ours.prompt(USER).count(bos) == 1
    # transformers, when it encodes a rendered text like any other, adds a second one; a chat template is not to be doubled there.
    from transformers import AutoTokenizer

    published = AutoTokenizer.from_pretrained(tmp_path / "published")
    assert published(ours.text(PAIR))["input_ids"].count(bos) == 2
    assert published.apply_chat_template(PAIR)["input_ids"] == ids
    # An exported vocabulary says that the end also begins a text; the exported template says by itself what begins a conversation.
    theirs = exported(tokenizer, tmp_path / "export")
    assert theirs.bos_token == END_OF_TEXT
    assert theirs.apply_chat_template(PAIR, chat_template=ours.exported)["input_ids"] == ids
    assert theirs(theirs.apply_chat_template(PAIR, chat_template=ours.exported, tokenize=False))["input_ids"] == ids


def test_our_own_vocabularies_begin_a_text_with_its_end(trained: BytePairTokenizer, tmp_path: Path) -> None:
    ids = foreign(tmp_path, BRACKETS, trained).encode(PAIR).ids
    assert ids[0] == ids[-1] == trained.eos_id and ids.count(trained.eos_id) == 2


@pytest.mark.parametrize("source", ["", "\n\n", "  {# head #}\n"])
def test_a_system_prompt_goes_before_conversations_without_one_here_and_in_the_export(
    source: str, trained: BytePairTokenizer, theirs: Any, tmp_path: Path
) -> None:
    system = 'Say "{{ yes }}" \\ or\n{% no %} – é.'
    ours = foreign(tmp_path, source + chat("chatml", trained).template, trained, system)
    own = {"role": "system", "content": "Mine."}
    assert ours.text(PAIR) == ours.text([{**own, "content": system}, *PAIR])
    assert system not in ours.text([own, *PAIR]) and "Mine." in ours.text([own, *PAIR])
    assert ours.encode(PAIR).ids[0] == trained.special["<|im_start|>"] or source
    for messages in (PAIR, [own, *PAIR]):
        assert theirs.apply_chat_template(messages, chat_template=ours.exported, tokenize=False) == ours.text(messages)
        assert theirs.apply_chat_template(messages, chat_template=ours.exported)["input_ids"] == ours.encode(messages).ids


def test_swallowed_blanks_are_those_of_transformers(trained: BytePairTokenizer, tmp_path: Path) -> None:
    trained.save(tmp_path)
    values = json.loads((tmp_path / "tokenizer.json").read_bytes())
    for token in values["added_tokens"]:
        token["rstrip"] = token["content"] == "<|im_end|>"
        token["lstrip"] = token["content"] == "<|im_start|>"
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    tokenizer = import_huggingface(tmp_path, None)
    ours, theirs = chat("chatml", tokenizer), exported(tokenizer, tmp_path / "export")
    for said in ("It is.", " It is.\n ", "", "\n"):
        messages = [*PAIR, *USER, {"role": "assistant", "content": said}]
        assert ours.encode(messages).ids == theirs.apply_chat_template(messages, chat_template=ours.exported)["input_ids"]


def test_sentencepiece_conversations_are_those_of_transformers_but_for_runs_of_blanks(
    published_file: Callable[[str], Path], tmp_path: Path, conversations: list[Conversation]
) -> None:
    tokenizer = import_sentencepiece(published_file("llama2_tokenizer.model"), None)
    ours, theirs = foreign(tmp_path, BRACKETS, tokenizer), exported(tokenizer, tmp_path / "export")
    assert (ours.bos_token, ours.eos_token) == ("<s>", "</s>")
    equal = 0
    for messages in conversations:
        if messages[0]["role"] == "system" or any("  " in message["content"] for message in messages):
            continue
        wanted = theirs.apply_chat_template(messages, chat_template=ours.exported)["input_ids"]
        assert ours.encode(messages).ids[0] == wanted[0] == tokenizer.special["<s>"]
        equal += ours.encode(messages).ids == wanted
    assert equal > 150


@pytest.mark.parametrize("config", [HEADERS, [{"name": "rag", "template": "x"}, {"name": "default", "template": HEADERS}]])
def test_the_template_beside_a_vocabulary_is_found(config: object, trained: BytePairTokenizer, tmp_path: Path) -> None:
    tokenizer = with_bos(trained, tmp_path, chat_template=config)
    found = load_chat_format("tokenizer", tokenizer, base=HERE, folder=tmp_path)
    assert found.template == HEADERS
    (tmp_path / "chat_template.jinja").write_text(BRACKETS)
    assert load_chat_format("tokenizer", tokenizer, base=HERE, folder=tmp_path).template == BRACKETS


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ('{"chat_template": null}', "brings no template along"),
        ('{"chat_template": [{"name": "rag", "template": "x"}]}', "has the templates rag, but none that is called default"),
        ("{", "is not JSON"),
        (None, "brings no template along"),
    ],
)
def test_a_vocabulary_without_a_template_says_what_to_choose(
    config: str | None, reason: str, trained: BytePairTokenizer, tmp_path: Path
) -> None:
    if config is not None:
        (tmp_path / "tokenizer_config.json").write_text(config)
    with pytest.raises(UsageError, match=reason):
        load_chat_format("tokenizer", trained, base=HERE, folder=tmp_path)
    with pytest.raises(UsageError, match="brings no template along"):
        load_chat_format("tokenizer", trained, base=HERE)


def test_a_template_that_is_not_there_is_told_with_what_is(trained: BytePairTokenizer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'chatlm' is neither one of chatml, zephyr, plain, tokenizer nor a file"):
        load_chat_format("chatlm", trained, base=tmp_path)


def test_a_vocabulary_without_chat_tokens_is_told_what_to_choose_instead(trained: BytePairTokenizer) -> None:
    poor = BytePairTokenizer(trained.ranks, {END_OF_TEXT: trained.eos_id}, "bpe")
    with pytest.raises(
        UsageError, match=r"chatml writes <\|im_start\|> and <\|im_end\|>, which are no special tokens .* plain or zephyr"
    ):
        chat("chatml", poor)
    assert chat("plain", poor).stop_ids == chat("zephyr", poor).stop_ids == (poor.eos_id,)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ raise_exception('never') }}", "a conversation of one question and one answer cannot be written: .* line 1, refuses"),
        ("{{ messages[0].content }}", "leaves the answer 'It is.' out of the text 'Is it so[?]'"),
        ("{{ ''.__class__ }}", "line 1, is not allowed what it does"),
        ("{% for m in messages %}", "line 1"),
    ],
)
def test_a_template_that_writes_no_conversation_is_refused_when_it_is_read(
    source: str, reason: str, trained: BytePairTokenizer, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=reason):
        foreign(tmp_path, source, trained)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "the conversation has no messages"),
        ([{"role": "tool", "content": ""}], "message 1 has the role 'tool'; roles are system, user, assistant"),
        ([*USER, {"role": "assistant", "content": None}], "message 2 has a content of the type NoneType"),
        ([{"role": "user"}], "message 1 has the fields 'role'; a message is role and content"),
        (
            [*USER, {"role": "assistant", "content": "", "tool_calls": ""}],
            "message 2 has the fields 'role', 'content', 'tool_calls'",
        ),
        ([{"role": "user", "content": "a\ud800"}], "lone surrogate"),
    ],
)
def test_messages_that_are_none_are_told_by_number(messages: Any, reason: str, trained: BytePairTokenizer) -> None:
    ours = chat("chatml", trained)
    for call in (ours.encode, ours.prompt):
        with pytest.raises(DataError, match=reason):
            call(messages)


def test_a_format_goes_to_other_processes_and_keeps_its_time(trained: BytePairTokenizer, tmp_path: Path) -> None:
    (tmp_path / "dated.jinja").write_text(
        "{{ strftime_now('%d %b %Y') }}\n{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"
    )
    ours = load_chat_format("dated.jinja", trained, base=tmp_path, now=datetime(2024, 5, 17))
    assert ours.text(PAIR).startswith("17 May 2024")
    assert pickle.loads(pickle.dumps(ours)).encode(PAIR) == ours.encode(PAIR)


def test_arcade100k_gives_the_ids_of_transformers(
    arcade: BytePairTokenizer, tmp_path: Path, conversations: list[Conversation]
) -> None:
    theirs = exported(arcade, tmp_path)
    for ours in (chat(name, arcade) for name in SHIPPED):
        for messages in conversations[::7]:
            wanted = theirs.apply_chat_template(messages, chat_template=ours.template, return_assistant_tokens_mask=True)
            assert ours.encode(messages) == (wanted["input_ids"], [bool(mask) for mask in wanted["assistant_masks"]])
