"""The look-up as clients have it, over a real run's shards."""

import dataclasses
import json
import threading

import httpx
import pytest

from pellucid.core.lock import run_lock
from pellucid.serve.training_matches import MOST_CHARS

SENTENCE = "The river is 12 km long, and no bridge of stone has ever crossed it."
KEY = "a-key-of-twenty-characters"


@pytest.fixture(scope="module")
def with_origins(served, borrowed, tokenizer, make_origins, tmp_path_factory):
    """The tiny model, as part of a run with two sources."""
    texts = {"rivers": ["Nothing here.", f"{SENTENCE} So they say.", SENTENCE], "lists": ["one two three four five six"]}

    def made():
        run = tmp_path_factory.mktemp("origins") / "rivers-run"
        return dataclasses.replace(served, engine=borrowed(served.engine), origins=make_origins(texts, tokenizer, run))

    return made


class Slow:
    """Real training data behind a door that opens when it is told to: what takes long in a large run."""

    def __init__(self, origins):
        self._origins, self.may_prepare, self.may_look_up = origins, threading.Event(), threading.Event()
        self.share_done, self.is_asked, self.given_up = 0.25, threading.Event(), threading.Event()

    @property
    def is_ready(self):
        return self._origins.is_ready

    def prepare(self, is_wanted):
        self.may_prepare.wait(60)
        self._origins.prepare(is_wanted)

    def look_up(self, asked, *, is_wanted, **how):
        self.is_asked.set()
        while not self.may_look_up.wait(0.01):
            if not is_wanted():
                self.given_up.set()
                break
        return self._origins.look_up(asked, is_wanted=is_wanted, **how)


@pytest.fixture
def asking():
    clients = []

    def opened(server, **more):
        clients.append(httpx.Client(base_url=server.url, trust_env=False, timeout=60, **more))
        return clients[-1]

    yield opened
    for client in clients:
        client.close()


def test_an_answers_words_are_found_with_their_documents_as_described(start, with_origins, asking):
    jsonschema = pytest.importorskip("jsonschema")
    http = asking(start(with_origins()))
    assert http.get("/v1/models").json()["data"][0]["pellucid"]["training_matches"] is True
    answer = http.post("/v1/training_matches", json={"text": f"Well. {SENTENCE} One two three.", "max_documents": 1})
    told = answer.raise_for_status().json()
    (run,) = told["runs"]
    assert SENTENCE.removeprefix("The") in run["text"] and run["documents"] == run["places"] == 2
    assert [one["id"] for one in run["shown"]] == ["rivers/1"] and told["searched"]["documents"] == 4
    described = http.get("/openapi.json").json()
    schema = described["paths"]["/v1/training_matches"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(told, schema | {"components": described["components"]})
    assert 'endpoint="/v1/training_matches",status="200"' in http.get("/metrics").text


def test_ids_find_what_their_text_finds(start, with_origins, asking, tokenizer):
    http = asking(start(with_origins()))
    by_text = http.post("/v1/training_matches", json={"text": SENTENCE}).json()
    assert by_text["runs"] and http.post("/v1/training_matches", json={"text": tokenizer.encode(SENTENCE)}).json() == by_text


def test_a_model_without_a_run_says_that_there_is_nothing_to_look_into(server, http):
    assert http.get("/v1/models").json()["data"][0]["pellucid"]["training_matches"] is False
    answer = http.post("/v1/training_matches", json={"text": SENTENCE})
    assert answer.status_code == 404 and answer.json()["error"]["code"] == "no_training_data"
    assert "belongs to no run" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "text"),
        ({"text": SENTENCE, "min_tokens": 7}, "min_tokens"),
        ({"text": SENTENCE, "max_runs": 0}, "max_runs"),
        ({"text": SENTENCE, "max_documents": 21}, "max_documents"),
        ({"text": "a" * (MOST_CHARS + 1)}, "text"),
        ({"text": [1] * (MOST_CHARS // 4 + 1)}, "text"),
        ({"text": SENTENCE, "what": 1}, "what"),
        ({"text": [-1]}, "text.list[constrained-int].0"),
    ],
)
def test_what_cannot_be_looked_up_is_refused_by_name(start, with_origins, asking, body, param):
    answer = asking(start(with_origins())).post("/v1/training_matches", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].split(".")[0] == param.split(".")[0]


def test_it_is_guarded_like_everything_else(start, with_origins, asking):
    http = asking(start(with_origins(), key=KEY, max_body_bytes=1000))
    ask = {"json": {"text": SENTENCE}}
    own = {"Authorization": f"Bearer {KEY}"}
    assert http.post("/v1/training_matches", **ask).status_code == 401
    assert http.post("/v1/training_matches", **ask, headers=own).status_code == 200
    assert http.post("/v1/training_matches", **ask, headers=own | {"Host": "evil.example"}).status_code == 403
    assert http.post("/v1/training_matches", **ask, headers=own | {"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert http.post("/v1/training_matches", json={"text": "a" * 2000}, headers=own).status_code == 413
    assert http.post("/v1/training_matches", content=json.dumps(ask), headers=own).status_code == 415
    assert http.get("/v1/training_matches", headers=own).status_code == 405


def test_while_the_index_is_made_the_server_says_so_and_writes_on(start, with_origins, asking):
    model = with_origins()
    slow = Slow(model.origins)
    slow.may_look_up.set()
    http = asking(start(dataclasses.replace(model, origins=slow)))
    answer = http.post("/v1/training_matches", json={"text": SENTENCE})
    assert (answer.status_code, answer.json()["error"]["code"], answer.headers["retry-after"]) == (503, "index_in_the_making", "2")
    assert "25 %" in answer.json()["error"]["message"]
    assert http.post("/v1/completions", json={"prompt": "The", "max_tokens": 2}).status_code == 200
    slow.may_prepare.set()
    assert http.post("/v1/training_matches", json={"text": SENTENCE}).json()["runs"]


def test_one_look_up_runs_at_a_time_and_beside_the_models_work(start, with_origins, asking):
    model = with_origins()
    slow = Slow(model.origins)
    slow.may_prepare.set()
    server = start(dataclasses.replace(model, origins=slow))
    http, found = asking(server), []
    first = threading.Thread(target=lambda: found.append(asking(server).post("/v1/training_matches", json={"text": SENTENCE})))
    first.start()
    assert slow.is_asked.wait(30)
    answer = http.post("/v1/training_matches", json={"text": SENTENCE})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "lookup_running")
    assert answer.headers["retry-after"] == "1"
    assert http.post("/v1/completions", json={"prompt": "The", "max_tokens": 2}).status_code == 200
    slow.may_look_up.set()
    first.join(30)
    assert found[0].status_code == 200
    assert http.post("/v1/training_matches", json={"text": SENTENCE}).status_code == 200


def test_a_look_up_ends_at_the_deadline_and_when_its_client_leaves(start, with_origins, asking):
    model = with_origins()
    model.origins.prepare()
    late = Slow(model.origins)
    answer = asking(start(dataclasses.replace(model, origins=late), deadline_s=0.3)).post(
        "/v1/training_matches", json={"text": "a"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded") and late.given_up.wait(10)
    left = Slow(model.origins)
    http = asking(start(dataclasses.replace(model, origins=left)))
    with pytest.raises(httpx.ReadTimeout):
        http.post("/v1/training_matches", json={"text": SENTENCE}, timeout=0.3)
    assert left.given_up.wait(10)
    left.may_look_up.set()
    assert http.post("/v1/training_matches", json={"text": SENTENCE}).status_code == 200


def test_a_run_that_is_being_worked_in_is_looked_into_later(start, with_origins, asking):
    model = with_origins()
    http = asking(start(model))
    with run_lock(model.origins.training.run):
        answer = http.post("/v1/training_matches", json={"text": SENTENCE})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_index")
        assert "is in use by process" in answer.json()["error"]["message"]
    assert http.post("/v1/training_matches", json={"text": SENTENCE}).status_code == 200


def test_a_server_that_stops_takes_no_look_up_and_gives_up_what_runs(start, with_origins, asking):
    model = with_origins()
    model.origins.prepare()
    slow = Slow(model.origins)
    server = start(dataclasses.replace(model, origins=slow), drain_s=0.5)
    found = []

    def ask():
        try:
            found.append(asking(server).post("/v1/training_matches", json={"text": SENTENCE}).status_code)
        except httpx.HTTPError:
            found.append(None)

    waiting = threading.Thread(target=ask)
    waiting.start()
    assert slow.is_asked.wait(30)
    server.app.state.admission.draining = True
    answer = asking(server).post("/v1/training_matches", json={"text": SENTENCE})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "stopping")
    server.stop()
    waiting.join(20)
    assert found and found != [200] and slow.given_up.wait(10)
