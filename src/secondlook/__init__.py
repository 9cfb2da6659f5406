"""Second Look: a second look at every label in a vision dataset.

`import secondlook as sl` gives the functions below. They are imported when they are first used, because every command
imports this package.
"""

TYPE_CHECKING = False  # as type checkers know it; the module `typing` alone would take longer to import than this one
if TYPE_CHECKING:
    from secondlook.api.errors import label_errors
    from secondlook.api.merging import consensus
    from secondlook.api.reading import read, rejects
    from secondlook.api.results import Results, open  # noqa: A004
    from secondlook.api.scoring import evaluate
    from secondlook.api.testing import guarantee
    from secondlook.base.errors import DataError, UsageError

__version__ = "0.1.0"
__all__ = [
    "DataError",
    "Results",
    "UsageError",
    "consensus",
    "evaluate",
    "guarantee",
    "label_errors",
    "open",
    "read",
    "rejects",
]
_PLACES = {
    "DataError": "base.errors",
    "Results": "api.results",
    "UsageError": "base.errors",
    "consensus": "api.merging",
    "evaluate": "api.scoring",
    "guarantee": "api.testing",
    "label_errors": "api.errors",
    "open": "api.results",
    "read": "api.reading",
    "rejects": "api.reading",
}

if not TYPE_CHECKING:  # else every name would be there

    def __getattr__(name):
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
