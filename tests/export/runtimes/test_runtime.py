from pellucid.export.runtimes.runtime import Runtime


def test_the_protocol_names_all_that_the_certificate_asks_for():
    asked = {
        "name",
        "version",
        "load_s",
        "encode",
        "encode_chat",
        "encode_plain",
        "eos_id",
        "stop_ids",
        "log_probabilities",
        "__enter__",
        "__exit__",
    }
    assert asked <= set(vars(Runtime))
