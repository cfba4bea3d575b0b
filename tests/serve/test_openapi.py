from pellucid.serve.openapi import openapi


def test_a_server_with_a_key_asks_for_it_where_it_is_needed():
    paths = openapi(with_key=True)["paths"]
    assert "security" not in paths["/health"]["get"]
    assert all(
        operation["security"] == [{"key": []}]
        for path, operations in paths.items()
        for operation in operations.values()
        if path != "/health"
    )
    assert "security" not in openapi(with_key=False)["paths"]["/v1/completions"]["post"]


def test_bodies_are_described_as_they_are_checked():
    fields = openapi(with_key=False)["components"]["schemas"]["CompletionFields"]
    assert fields["additionalProperties"] is False and fields["required"] == ["prompt"]
    assert {"echo", "logprobs", "seed", "stop", "return_token_ids"} <= fields["properties"].keys()
