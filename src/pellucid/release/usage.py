"""Commands of the model card for what is in a release; the tests run each of them from the release's folder."""

from pellucid.release.account import Account

__all__ = ["usage"]


def usage(account: Account, *, code: bool) -> str:
    """Return the section's text: one block for each way to run what is there."""
    chat = account.recipe.is_chat
    parts = ["From the folder of the release. The packages: `pip install --requirement packages.lock`.\n"]
    held = account.selection
    if "hf" in account.exports and held.has("exports/hf/model*.safetensors"):
        parts.append(_transformers(chat))
        prompt = "Hello" if chat else "The"
        parts.append(f"In the terminal:\n\n```bash\npellucid chat exports/hf --prompt {prompt!r} --new-tokens 20\n```\n")
    gguf = sorted(name for name in held.files if name.startswith("exports/gguf/") and name.endswith(".gguf"))
    if gguf:
        parts.append(
            "In llama.cpp (any of its programs opens the file), and by OpenAI's interface:\n\n"
            f"```text\nllama-cli --model {gguf[0]} --prompt 'Hello'\npellucid serve {gguf[0]} --port 8000\n```\n"
        )
    if len(parts) == 1:
        parts.append("No weights are in this release.\n")
    if code:
        parts.append("The code that made it lies in `code/`: `PYTHONPATH=code python -B -m pellucid --help`.\n")
    return "\n".join(parts)


def _transformers(chat: bool) -> str:
    asked = (
        'chat = [{"role": "user", "content": "Hello"}]\n'
        'ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)'
        if chat
        else 'ids = tokenizer("The", return_tensors="pt")'
    )
    return (
        "With transformers:\n\n```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'tokenizer = AutoTokenizer.from_pretrained("exports/hf")\nmodel = AutoModelForCausalLM.from_pretrained("exports/hf")\n'
        f"{asked}\nout = model.generate(**ids, max_new_tokens=20)\n"
        'print(tokenizer.decode(out[0][ids["input_ids"].shape[1] :], skip_special_tokens=True))\n```\n'
    )
