"""pyarrow's compute functions, which it makes at import: no type checker can see them."""

import importlib
from typing import Any, Final

pc: Final[Any] = importlib.import_module("pyarrow.compute")
