"""Values on their way to other processes, packed once, and unpacked where there is the same code."""

import io
import pickle
import socket
from importlib.util import find_spec
from typing import Any

from leastwork.errors import LeastworkError
from leastwork.support.extras import needs
from leastwork.support.same_code import check_modules, modules_named
from leastwork.support.text import brief

__all__ = ["Sent"]


class Sent:
    """A value on its way: itself in this process, and pickled once however many workers it is sent to.

    Executors would send the tensors of a value by handles of shared memory, which end with the worker.
    """

    def __init__(self, value: object = None, packed: bytes | None = None) -> None:
        self._value, self._packed = value, packed

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (self.packed,)

    @property
    def packed(self) -> bytes:
        """The user's modules that the value needs, and the value."""
        if self._packed is None:
            value = _pickled(self._value)
            self._packed = pickle.dumps(modules_named(value)) + value
        return self._packed

    @property
    def value(self) -> Any:
        if self._value is None and self._packed is not None:
            self._value = _unpacked(io.BytesIO(self._packed))
        return self._value


def _received(packed: bytes) -> Sent:
    return Sent(packed=packed)


def _unpacked(file: io.BytesIO) -> Any:
    check_modules(pickle.load(file))
    try:
        return pickle.load(file)
    except (RuntimeError, AssertionError) as error:  # as torch says of a device that this worker does not have
        raise LeastworkError(
            f"a worker on {socket.gethostname()!r} cannot hold the model ({brief(error)}): start workers that each "
            "have a GPU, or take device: cpu"
        ) from error
    except (ImportError, AttributeError) as error:
        raise LeastworkError(
            f"a worker on {socket.gethostname()!r} lacks code of the model or its guidance ({brief(error)}): put it "
            "into a module on the PYTHONPATH of all workers, and start them again"
        ) from error


def _pickled(value: object) -> bytes:
    """By cloudpickle, which comes with the extra for clusters, where the user's own code is no module.

    What a notebook or a script defines lies in ``__main__``, which is another module in workers that did not fork.
    """
    try:
        packed = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        try:
            return needs("cloudpickle", "cluster").dumps(value)
        except Exception:
            raise LeastworkError(
                f"the model or its guidance cannot be sent to other processes ({brief(error)}): define their functions "
                "at the top level of a module, or pass a ThreadPoolExecutor"
            ) from error
    if b"__main__" not in packed or find_spec("cloudpickle") is None:
        return packed
    return needs("cloudpickle", "cluster").dumps(value)
