"""The command line: arguments → one stage or one question. The only place where imports wait until they are needed."""

__all__: list[str] = []
