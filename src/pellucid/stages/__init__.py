"""One file per stage: open the inputs, build the objects, call the library, write the artifact."""

__all__: list[str] = []
