"""Returns objects that would run code where they are unpickled, printed, compared or called."""
# sandbox only

import os

class Trap:
    def __reduce__(self):
        return (os.system, (f"touch {TARGET['canary_folder']}/planted",))

    def act(self, *arguments, **keywords):
        open(TARGET["canary_folder"] + "/planted", "w").write("x")
        return 0

    __eq__ = __ne__ = __lt__ = __bool__ = __len__ = __index__ = __call__ = __str__ = __repr__ = __getattr__ = __hash__ = act

class Text(str):
    __str__ = __repr__ = __eq__ = Trap.act

def answer():
    return Trap()
