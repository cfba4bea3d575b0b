"""Answers its judge with what is no answer: broken, endless, deep, and of the wrong kinds."""
# sandbox only

import json, os, struct

def send(data, length=None):
    os.write(4, struct.pack(">I", len(data) if length is None else length) + data)

send(b'{"value": null}')
for message in (["x"], 7, None, {"raised": ["SystemExit", "KeyboardInterrupt", "BaseException"], "text": "x"}, {"raised": 3}, {"value": ["reference", -1]},
                {"value": ["Fraction", 1, 0]}, {"value": ["type", "exec"]}, {"value": {"x": 1}}, {"raised": ["StopIteration"], "text": None}):
    send(json.dumps(message).encode())
send(b"[" * 500_000 + b"]" * 500_000)
send(b"{", 0xFFFFFFFF)
os._exit(0)
