"""One epoch of SFT with TRL's SFTTrainer: a peer of `sft.py`.

Reads a JSON job on standard input, trains as its users would on a CPU (fp32, no gradient checkpointing, AdamW, cosine, assistant
tokens only), saves the tuned weights as a Hugging Face folder, merged where they were adapters, and prints figures as JSON.
Nothing of Pellucid is imported; needs trl==1.16.0 and peft.

`style` is the collator's default ("padded"), or "packed": best-fit packs in one padding-free row, of which transformers' SDPA
attention makes a mask by their positions; whether that confines attention is measured on the model before training.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import datasets
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

ANSWER = "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
MARKED = (
    "{{'<|im_start|>' + message['role'] + '\n'}}{% if message['role'] == 'assistant' %}{% generation %}"
    "{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\n' }}"
)


def load_tokenizer(model: str, messages: list[dict[str, str]]) -> Any:
    """Return the tokenizer, its own template marked with where the assistant speaks, as TRL's training templates are."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    before = tokenizer.apply_chat_template(messages, tokenize=False)
    assert ANSWER in tokenizer.chat_template
    tokenizer.chat_template = tokenizer.chat_template.replace(ANSWER, MARKED)
    assert tokenizer.apply_chat_template(messages, tokenize=False) == before
    return tokenizer


class Clock(TrainerCallback):
    """Ends of the optimizer steps, counted from the beginning of the loop: data, forward, backward, clipping, AdamW, logging."""

    def __init__(self) -> None:
        self.began, self.ends = 0.0, []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter() - self.began)


class Counted:
    """A collator that counts what it hands out: positions, and how many of them are tokens."""

    def __init__(self, collator: Any) -> None:
        self.collator, self.positions, self.tokens = collator, 0, 0

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = self.collator(examples)
        self.positions += batch["input_ids"].numel()
        self.tokens += sum(len(example["input_ids"]) for example in examples)
        return batch


def attention_confined(model: Any, collator: Any, rows: Any) -> bool:
    """Whether the logits of the last example in a batch are those that it has by itself."""
    batch = collator([rows[0], rows[1]])
    lengths = rows[1].get("seq_lengths") or [len(rows[1]["input_ids"])]
    alone = torch.tensor([rows[1]["input_ids"][-lengths[-1] :]])
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    with torch.no_grad():
        together = model(**inputs, use_cache=False).logits[0, -alone.shape[1] :]
        return bool((together - model(input_ids=alone, use_cache=False).logits[0]).abs().max() < 1e-3)


def main() -> None:
    job = json.load(sys.stdin)
    torch.set_num_threads(job["threads"])
    out, packed = Path(job["out"]), job["style"] == "packed"
    rows = [{"messages": messages} for messages in job["conversations"]]
    tokenizer = load_tokenizer(job["model"], rows[0]["messages"])
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32, attn_implementation="sdpa")
    config = SFTConfig(
        output_dir=str(out / "trainer"), max_length=job["max_length"], packing=packed, assistant_only_loss=True,
        per_device_train_batch_size=job["micro"], gradient_accumulation_steps=job["batch"] // job["micro"],
        num_train_epochs=1, learning_rate=job["lr"], lr_scheduler_type="cosine", warmup_steps=0, weight_decay=0.0,
        adam_beta1=0.9, adam_beta2=0.999, max_grad_norm=1.0, bf16=False, gradient_checkpointing=False, use_cpu=True,
        save_strategy="no", report_to=[], logging_steps=1, disable_tqdm=True, seed=job["seed"],
    )  # fmt: skip
    lora = job["lora"] and LoraConfig(
        r=job["lora"]["rank"], lora_alpha=job["lora"]["alpha"], lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    clock = Clock()
    trainer = SFTTrainer(
        model=model, args=config, train_dataset=datasets.Dataset.from_list(rows), processing_class=tokenizer,
        peft_config=lora or None, callbacks=[clock],
    )  # fmt: skip
    confined = not packed or attention_confined(trainer.model.eval(), trainer.data_collator, trainer.train_dataset)
    if job.get("encoded"):
        labelled = [[row["input_ids"], row["labels"]] for row in trainer.train_dataset]
        Path(job["encoded"]).write_text(json.dumps(labelled))
        print("\n{}")
        return
    trainer.data_collator = counted = Counted(trainer.data_collator)
    trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    tuned = trainer.model.merge_and_unload() if lora else trainer.model
    tuned.save_pretrained(out / "tuned")
    figures = {
        "seconds": clock.ends[-1],
        "step_s": [end - begin for begin, end in zip([0.0, *clock.ends], clock.ends, strict=False)],
        "steps": len(clock.ends),
        "tokens": counted.tokens,
        "positions": counted.positions,
        "attention_confined": confined,
        "train_losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        "peak_rss_bytes": peak,
        "tuned": str(out / "tuned"),
    }
    print("\n" + json.dumps(figures))


if __name__ == "__main__":
    main()
