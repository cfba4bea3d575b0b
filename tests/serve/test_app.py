import dataclasses
import json
import re

import httpx
import pytest
import torch

from pellucid.evals.endpoint.endpoint import open_endpoint
from pellucid.evals.harness.model import subject_lm
from pellucid.evals.local import LocalModel
from pellucid.evals.subject import Decoding, Pair
from pellucid.generate.torch_engine import TorchEngine
from pellucid.recipe.suites import EndpointConfig
from pellucid.serve.llama_engine import LlamaEngine, LlamaShape


def greedy(client, **more):
    return client.completions.create(model="tiny", prompt="The river", max_tokens=12, temperature=0, **more)


def test_models_are_listed_with_what_runs(client):
    (model,) = client.models.list().data
    assert model.id == "tiny" and model.pellucid["engine"] == "llama.cpp" and model.max_model_len == 256
    assert client.models.retrieve("tiny").id == "tiny"


def test_health_and_metrics_are_served(http, client):
    greedy(client)
    assert http.get("/health").json() == {"status": "ok"}
    text = http.get("/metrics").text
    assert 'pellucid_responses_total{endpoint="/v1/completions",status="200"}' in text
    assert "pellucid_engine_slots 4\n" in text and "pellucid_first_token_seconds_count" in text


@pytest.mark.parametrize("kind", ["torch", "llama.cpp"])
def test_an_engine_that_has_ended_is_told_and_not_laid_to_the_clients_charge(start, served, decoder, kind, request):
    if kind == "torch":
        engine = TorchEngine(decoder, slots=1)
    else:
        engine = LlamaEngine(request.getfixturevalue("gguf_file"), request.getfixturevalue("own_bytes"), LlamaShape(64, slots=1))
    url = start(dataclasses.replace(served, engine=engine)).url
    assert httpx.get(f"{url}/health", trust_env=False).status_code == 200
    engine.close()
    health = httpx.get(f"{url}/health", trust_env=False)
    assert (health.status_code, health.json()) == (503, {"status": "failed"})
    for stream in (False, True):
        answer = httpx.post(f"{url}/v1/completions", json={"prompt": "a", "stream": stream}, trust_env=False)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_failed")


def test_every_answer_carries_the_same_headers_and_allows_no_other_origin(http):
    for path in ("/health", "/nothing", "/v1/models"):
        headers = http.get(path, headers={"Origin": "https://evil.example"}).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["server"].startswith("pellucid/")
        assert not any(name.startswith("access-control") for name in headers)


def test_an_error_of_our_own_is_counted_and_has_the_same_headers(http, monkeypatch):
    def broken(self):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(LlamaEngine, "stats", broken)
        answer = http.get("/metrics")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["server"].startswith("pellucid/")
    assert 'pellucid_responses_total{endpoint="/metrics",status="500"} 1\n' in http.get("/metrics").text


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"method": "GET", "url": "/nothing"}, 404, "not_found"),
        ({"method": "GET", "url": "/v1/completions"}, 405, None),
        ({"method": "GET", "url": "/v1/models/other"}, 404, "model_not_found"),
        ({"method": "POST", "url": "/v1/completions", "json": {"prompt": "a", "model": "other"}}, 404, "model_not_found"),
        ({"method": "POST", "url": "/v1/completions", "content": b"{", "headers": {"content-type": "application/json"}}, 400, None),
        ({"method": "POST", "url": "/v1/completions", "content": b"{}", "headers": {"content-type": "text/plain"}}, 415, None),
        ({"method": "OPTIONS", "url": "/v1/completions"}, 405, None),
        ({"method": "POST", "url": "/v1/completions", "json": {"prompt": "word " * 999}}, 400, "context_length_exceeded"),
    ],
)
def test_errors_have_openais_shape(http, request_, status, code):
    answer = http.request(**request_)
    error = answer.json()["error"]
    assert answer.status_code == status and error.keys() == {"message", "type", "param", "code"} and error["message"]
    assert code is None or error["code"] == code


def test_openais_client_raises_its_own_errors(client):
    import openai

    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="other", prompt="a")
    with pytest.raises(openai.BadRequestError, match="unknown field"):
        client.completions.create(model="tiny", prompt="a", extra_body={"temprature": 0})


def test_the_log_likelihoods_are_those_of_the_checkpoint(client, decoder, tokenizer):
    ids = tokenizer.encode("The river is 12 km long 😀.")
    answer = client.completions.create(model="tiny", prompt=ids, max_tokens=0, echo=True, logprobs=2).choices[0]
    with torch.no_grad():
        expected_TV = torch.log_softmax(decoder.logits(decoder(torch.tensor([ids])))[0].double(), -1)
    assert answer.text == tokenizer.decode_after(ids) and answer.logprobs.token_logprobs[0] is None
    own = [float(expected_TV[place, id_]) for place, id_ in enumerate(ids[1:])]
    assert answer.logprobs.token_logprobs[1:] == pytest.approx(own, abs=1e-4)


def test_the_description_is_openapi_and_its_references_lead_somewhere(http):
    described = http.get("/openapi.json").json()
    assert described["openapi"] == "3.1.0"

    def references(value):
        if isinstance(value, dict):
            yield from [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            for one in value.values():
                yield from references(one)
        elif isinstance(value, list):
            for one in value:
                yield from references(one)

    found = set(references(described))
    assert found
    for reference in found:
        at = described
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]


def test_answers_are_as_described(http):
    jsonschema = pytest.importorskip("jsonschema")
    described = http.get("/openapi.json").json()
    bodies = {
        "/v1/completions": {"prompt": ["a", "b"], "logprobs": 2, "max_tokens": 3, "echo": True},
        "/v1/chat/completions": {
            "messages": [{"role": "user", "content": "a"}],
            "max_tokens": 3,
            "logprobs": True,
            "top_logprobs": 2,
        },
    }
    for path, body in bodies.items():
        for sent, status in ((body, "200"), (body | {"n": 0}, "400")):
            answer = http.post(path, json=sent)
            assert answer.status_code == int(status)
            responses = described["paths"][path]["post"]["responses"]
            schema = responses[status] if status == "200" else described["components"]["responses"]["Error"]
            schema = schema["content"]["application/json"]["schema"] | {"components": described["components"]}
            jsonschema.validate(answer.json(), schema)


def test_a_key_is_asked_for_everywhere_but_at_health(start):
    key = "a-key-of-twenty-characters"
    url = start(key=key).url
    with httpx.Client(base_url=url, trust_env=False) as http:
        assert http.get("/health").status_code == 200
        for given in (None, "Bearer wrong", f"Basic {key}", f"Bearer {key}x", "Bearer"):
            headers = {"Authorization": given} if given is not None else {}
            for path in ("/v1/models", "/metrics", "/v1/nothing"):
                assert http.get(path, headers=headers).status_code == 401
        assert http.get("/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code == 200


def test_a_body_that_is_not_what_it_says_changes_nothing(http):
    for body in (
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"prompt": "\\ud800"}',
        b'{"prompt": NaN}',
        b'{"prompt": "a", "temperature": 1e999}',
        b"",
    ):
        answer = http.post("/v1/completions", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400, (body[:20], answer.text)
    assert json.loads(http.post("/v1/completions", json={"prompt": "a", "max_tokens": 1}).text)["choices"]


PAIRS = [Pair("The right to", " education"), Pair("The right to", " work and rest"), Pair("", "Die Würde"), Pair("x =", " 1\n🎉")]


def test_lm_evals_own_client_gets_the_scores_of_the_model_in_process(server, decoder, tokenizer, tmp_path):
    pytest.importorskip("transformers")
    models = pytest.importorskip("lm_eval.models.openai_completions")
    instances = pytest.importorskip("lm_eval.api.instance")
    tokenizer.save_for_transformers(tmp_path, 256)
    client = models.LocalCompletionsAPI(
        base_url=f"{server.url}/v1/completions",
        model="tiny",
        tokenizer=str(tmp_path),
        tokenizer_backend="huggingface",
        max_length=255,
    )
    asked = [
        instances.Instance("loglikelihood", {}, (pair.context, pair.continuation), at, metadata=("t", at, 1))
        for at, pair in enumerate(PAIRS)
    ]
    found = client.loglikelihood(asked, disable_tqdm=True)
    in_process = LocalModel(decoder, tokenizer).loglikelihoods(PAIRS)
    assert [value for value, _ in found] == pytest.approx([-one.nats for one in in_process], abs=1e-3)
    assert [greedy for _, greedy in found] == [one.greedy for one in in_process]


TEXTS = [
    {"question": "Which word follows? The right to", "choices": [" education", " work and rest", " x\n🎉"], "answer": 1},
    {"question": "Was folgt? Die Würde", "choices": [" des Menschen", " x = 1", " water"], "answer": 0},
    {"question": "x =", "choices": [" 1", " the river", " y"], "answer": 2},
]


def tasks():
    """Two tasks as lm-evaluation-harness' own files describe them: multiple choice, and text up to a stop."""
    task = pytest.importorskip("lm_eval.api.task")
    rows = {"test": TEXTS}
    of_both = {"custom_dataset": lambda **_: {name: datasets_of(some) for name, some in rows.items()}, "test_split": "test",
               "doc_to_text": "{{question}}", "output_type": "multiple_choice"}  # fmt: skip
    choice = {"task": "words", "doc_to_choice": "{{choices}}", "doc_to_target": "{{answer}}"}
    until = {"task": "lines", "output_type": "generate_until", "doc_to_target": "{{choices[0]}}",
             "generation_kwargs": {"until": ["\n", "the"], "max_gen_toks": 24, "temperature": 0.0, "do_sample": False}}  # fmt: skip
    return {one["task"]: task.ConfigurableTask(config=of_both | one) for one in (choice, until)}


def datasets_of(rows):
    return pytest.importorskip("datasets").Dataset.from_list(rows)


def test_lm_evals_local_completions_gets_from_the_torch_engine_what_the_model_in_process_scores(
    torch_server, decoder, tokenizer, tmp_path
):
    evaluator = pytest.importorskip("lm_eval.evaluator")
    models = pytest.importorskip("lm_eval.models.openai_completions")
    tokenizer.save_for_transformers(tmp_path, 256)
    client = models.LocalCompletionsAPI(
        base_url=f"{torch_server.url}/v1/completions",
        model="tiny",
        tokenizer=str(tmp_path),
        tokenizer_backend="huggingface",
        max_length=255,
        num_concurrent=1,
    )
    found = {}
    for name, lm in {"server": client, "process": subject_lm(LocalModel(decoder, tokenizer))}.items():
        found[name] = evaluator.evaluate(lm=lm, task_dict=tasks(), bootstrap_iters=0, log_samples=True)
    assert found["server"]["results"]["words"]["acc,none"] == found["process"]["results"]["words"]["acc,none"]
    assert found["server"]["results"]["words"]["acc_norm,none"] == found["process"]["results"]["words"]["acc_norm,none"]
    assert found["server"]["results"]["lines"]["exact_match,none"] == found["process"]["results"]["lines"]["exact_match,none"]
    names = re.compile("|".join(map(re.escape, tokenizer.special)))  # a server shows no special tokens
    for name in ("words", "lines"):
        for theirs, ours in zip(found["server"]["samples"][name], found["process"]["samples"][name], strict=True):
            if name == "lines":
                assert theirs["resps"] == [[names.sub("", text) for text in ours["resps"][0]]]
                continue
            for (nats, greedy), (our_nats, our_greedy) in zip(theirs["filtered_resps"], ours["filtered_resps"], strict=True):
                assert nats == pytest.approx(our_nats, abs=1e-3) and greedy == our_greedy
    assert any(sample["resps"][0][0] for sample in found["server"]["samples"]["lines"])


def test_our_own_client_gets_the_scores_and_the_answers_of_the_model_in_process(server, decoder, tokenizer):
    endpoint, local = open_endpoint(EndpointConfig(url=server.url)), LocalModel(decoder, tokenizer)
    assert endpoint.context_tokens == 256
    with_context = [pair for pair in PAIRS if pair.context]  # nothing stands before a text here that would score its first token
    for theirs, ours in zip(endpoint.loglikelihoods(with_context), local.loglikelihoods(with_context), strict=True):
        assert theirs.nats == pytest.approx(ours.nats, abs=1e-3) and theirs.tokens == ours.tokens
    decoding = Decoding(max_new_tokens=12, temperature=0)
    prompts = ["The river", "x = 1"]
    theirs, ours = ([one.text for one in model.complete(prompts, decoding, [1, 2])] for model in (endpoint, local))
    names = re.compile("|".join(map(re.escape, tokenizer.special)))
    assert theirs == [names.sub("", text) for text in ours]  # a server shows no special tokens
