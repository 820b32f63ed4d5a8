"""How processes of ours are started: by this interpreter, and with modules from where this process has its own.

The program of a package runs with -I: neither PYTHONPATH of a shell, from which mount(8) is called, nor ~/.local has
a say in what serves a mount. Elsewhere -P leaves out no more than the directory that somebody happens to be in.
"""

import sys
from typing import Final

PYTHON: Final = (sys.executable, "-I" if sys.flags.isolated else "-P")
