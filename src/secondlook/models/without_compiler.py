"""Libraries of networks without PyTorch's compiler, which takes as long to import as PyTorch itself.

torchvision imports a function of it that it rarely calls, and timm excludes functions from compilation. While they are
imported, stand-ins do the same later: the compiler is imported when such a function is called.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any
from unittest import mock

_COMPILER, _UTILS = "torch._dynamo", "torch._dynamo.utils"


def load(name: str) -> Any:
    """Import timm, open_clip or torchvision; a version that needs more of the compiler gets it."""
    if name in sys.modules or _COMPILER in sys.modules:
        return import_module(name)
    try:
        with _stand_ins():
            return import_module(name)
    except (ImportError, AttributeError):
        return import_module(name)


@contextmanager
def _stand_ins() -> Iterator[None]:
    import torch

    utils: Any = ModuleType(_UTILS)
    utils.is_compile_supported = _is_compile_supported
    sys.modules[_UTILS] = utils
    try:
        with mock.patch.object(torch.compiler, "disable", _disable):
            yield
    finally:
        if sys.modules.get(_UTILS) is utils:
            del sys.modules[_UTILS]


def _is_compile_supported(device_type: Any) -> Any:
    return import_module(_UTILS).is_compile_supported(device_type)


def _disable(function: Callable[..., Any] | None = None, recursive: bool = True, **_: Any) -> Any:
    """Exclude a function from compilation as PyTorch does with its own, at the first call."""
    import torch

    return torch._disable_dynamo(function, recursive)  # type: ignore[attr-defined]
