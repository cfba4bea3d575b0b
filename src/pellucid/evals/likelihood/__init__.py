"""How likely continuations are: requests → rows in which what they share is computed once → nats."""

__all__: list[str] = []
