import httpx
import pytest

from pellucid.core.errors import ArtifactError, EndpointError
from pellucid.serve.llama_http import LlamaServer, llama_device


@pytest.fixture(scope="module")
def server(gguf_file):
    server = LlamaServer(gguf_file, context_tokens=256, slots=1, threads=1)
    yield server
    server.close()


def test_a_stream_has_as_many_parts_as_tokens_and_an_end(server):
    with server.stream({"prompt": [5, 6], "n_predict": 4, "ignore_eos": True, "n_probs": 1}) as stream:
        parts = list(stream)
    assert [part["stop"] for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1]["tokens_predicted"] == 4


def test_a_stream_that_is_cut_raises_and_the_server_goes_on(server):
    with server.stream({"prompt": [5, 6], "n_predict": 200, "ignore_eos": True}) as stream, pytest.raises((EndpointError, OSError)):
        for _ in stream:
            stream.cut()
    assert server.complete({"prompt": [5], "n_predict": 1})["tokens_predicted"] == 1


def test_what_it_refuses_is_told(server):
    with pytest.raises(EndpointError, match="status 400"):
        server.complete({"prompt": [5] * 400, "n_predict": 1})


def test_a_file_that_is_no_gguf_is_named(tmp_path):
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ArtifactError, match=r"does not load .*broken\.gguf"):
        LlamaServer(path, context_tokens=64, slots=1, threads=1)


def test_nobody_else_can_ask_it(server):
    address = str(server._server.listening_address)
    for path in ("/completion", "/slots", "/props", "/v1/chat/completions"):
        for method in ("GET", "POST"):
            answer = httpx.request(method, address + path, json={"prompt": "a"}, trust_env=False)
            assert answer.status_code in (401, 404, 405, 501), (path, answer.status_code)


def test_the_device_is_one_that_llama_cpp_has():
    kinds = {one["name"].lower(): one["type"].name for one in pytest.importorskip("xllamacpp").get_device_info()}
    assert llama_device() in kinds
    assert ("GPU" in kinds[llama_device()]) == any("GPU" in kind for kind in kinds.values())
