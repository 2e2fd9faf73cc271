"""One BLAS thread while surrogates work, and as many as before afterwards.

The matrices are small: more threads would wait for each other where the machine has other work, and the last digits of
a fit would depend on the number of cores.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """A context, or the decorator of a function, in which every BLAS of the process has one thread."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> "ThreadpoolController":
    # SciPy brings an OpenBLAS beside NumPy's, and a controller only knows the libraries that are loaded.
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
