from datetime import datetime

import numpy as np
import torch

from pellucid.export.runtimes.decoder import DecoderRuntime
from pellucid.tokenizer.chat import ChatFormat
from pellucid.tokenizer.chat_template import ChatTemplate


def test_it_gives_the_models_own_distribution_and_leaves_its_mode(stablelm, tokenizer):
    stablelm.model.train()
    with DecoderRuntime(stablelm.model, tokenizer) as runtime:
        ids = tokenizer.encode("The river")
        found_TV = runtime.log_probabilities(ids)
        assert stablelm.model.training
        stablelm.model.eval()
        with torch.no_grad():
            logits = stablelm.model.logits(stablelm.model(torch.tensor([ids])))[0]
        np.testing.assert_allclose(found_TV, torch.log_softmax(logits, -1).numpy(), atol=1e-5)
        assert runtime.encode("Größe") == tokenizer.encode("Größe")


def test_a_base_model_has_no_conversations_and_ends_at_the_end_of_text(stablelm, tokenizer):
    runtime = DecoderRuntime(stablelm.model, tokenizer)
    assert runtime.encode_chat([{"role": "user", "content": "hi"}]) is None
    assert (runtime.eos_id, runtime.stop_ids()) == (tokenizer.eos_id, {tokenizer.eos_id})


def test_a_chat_model_has_those_of_its_format(stablelm, tokenizer, template):
    chat = ChatFormat(ChatTemplate(template, "test", datetime(2026, 1, 1)), tokenizer)
    runtime = DecoderRuntime(stablelm.model, tokenizer, chat)
    assert runtime.encode_chat([{"role": "user", "content": "hi"}]) == tokenizer.encode("[user|hi][assistant|")
    assert runtime.stop_ids() == set(chat.stop_ids)
