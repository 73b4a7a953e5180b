"""The worker: takes commands from a socket and runs each in a thread, with torch and the models loaded once."""

from __future__ import annotations

import gc
import importlib
import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthseg_core.cli.worker.environment import own_environment
from synthseg_core.cli.worker.job import (
    COMPUTING,
    ON_DEVICE,
    Client,
    ClientGoneError,
    Command,
    Gate,
    JobTimer,
    objection,
    status_of,
)
from synthseg_core.cli.worker.listener import listening
from synthseg_core.cli.worker.messages import Request, receive_request
from synthseg_core.cli.worker.streams import JobStreams
from synthseg_core.system.processes import end_with_parent, is_alive
from synthseg_core.system.timing import collected_here

_GLANCE_S = 0.5
_REQUEST_S = 10.0
_FAREWELL_S = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_MODELS = 6  # a segmentation model with its two companions, and the same once more


@dataclass(frozen=True)
class Service:
    """What a worker does.

    Parameters
    ----------
    command
        Runs a command line.
    modules
        To load ahead of the first job.
    device
        Name of the device that jobs compute on.
    slots
        Jobs that compute at a time; ``None``: 1 on a GPU, on a CPU as many as have room with ``threads`` each.
    threads
        CPU threads of a job; ``None``: all.
    parent
        Process that the worker must not survive.
    report
        Receives one mapping for each job that has ended.
    """

    command: Command
    modules: Sequence[str]
    device: str
    slots: int | None
    threads: int | None
    parent: int | None
    report: Callable[[Mapping[str, Any]], None]


def serve(path: Path, service: Service) -> None:
    """Listen at ``path`` until a signal comes or the parent has gone; jobs that still run then are left to clients."""
    stopping = threading.Event()
    with _stopped_by_signals(stopping) as awake, listening(path) as listener:  # so that no signal leaves a socket
        _Worker(service, stopping).run(listener, awake)


@contextmanager
def _stopped_by_signals(stopping: threading.Event) -> Iterator[socket.socket]:
    """Set the event on a signal to end; yield a socket that becomes readable then, to wake the main thread."""
    awake, wake = socket.socketpair()
    with awake, wake:
        wake.setblocking(False)
        former = {number: signal.signal(number, lambda *_: stopping.set()) for number in _SIGNALS}
        descriptor = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        try:
            yield awake
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, handler in former.items():
                signal.signal(number, handler)


class _Parent:
    """The process that the worker must not survive; ``None``: the worker lives until it is told to end."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._direct = pid == os.getppid()
        if self._direct:
            end_with_parent()()

    def has_gone(self) -> bool:
        """Say whether the process has ended; to be asked now and then, for not every system sends a signal."""
        if self._pid is None:
            return False
        return os.getppid() != self._pid if self._direct else not is_alive(self._pid)


@dataclass(frozen=True)
class _Warm:
    """What is known once torch is loaded."""

    gate: Gate
    threads: int


class _Worker:
    def __init__(self, service: Service, stopping: threading.Event) -> None:
        self._service = service
        self._stopping = stopping
        self._parent = _Parent(service.parent)
        self._environment = own_environment()
        self._streams = JobStreams()
        self._warm: _Warm | None = None
        self._fault: BaseException | None = None
        self._is_warm = threading.Event()
        self._threads: list[threading.Thread] = []

    def run(self, listener: socket.socket, awake: socket.socket) -> None:
        """Take jobs until the end, which ``awake`` becomes readable for."""
        self._streams.install()
        with selectors.DefaultSelector() as selector:
            for source in (listener, awake):
                selector.register(source, selectors.EVENT_READ)
            self._start(self._load)
            while not (self._stopping.is_set() or self._parent.has_gone()):
                if any(key.fileobj is listener for key, _ in selector.select(_GLANCE_S)):
                    self._accept(listener)
            self._stopping.set()
            listener.close()
            self._say_farewell()
        if self._fault is not None:
            raise self._fault

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads = [*(other for other in self._threads if other.is_alive()), thread]
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:  # no descriptor is free, or the client has gone again
            time.sleep(_GLANCE_S)
            return
        self._start(self._handle, connection)

    def _say_farewell(self) -> None:
        """Give jobs the time to remove their temporary files."""
        deadline = time.monotonic() + _FAREWELL_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _load(self) -> None:
        """Load torch and what jobs need of it, and find out about the device."""
        try:
            self._warm = _warmed_up(self._service)
            with _exact_for_all():
                self._is_warm.set()
                self._stopping.wait()
        except BaseException as error:  # told by the main thread
            self._fault = error
            self._stopping.set()
            self._is_warm.set()

    def _handle(self, connection: socket.socket) -> None:
        """Run the job of one connection, if it is one for us."""
        with connection, ExitStack() as stack:
            connection.settimeout(_REQUEST_S)
            try:
                request, descriptors = receive_request(connection)
            except (OSError, ValueError, TypeError):  # somebody who only looks, or talks another language
                return
            connection.settimeout(None)
            client = Client(connection, self._stopping)
            if (reason := objection(request, self._environment)) is not None:
                for descriptor in descriptors:
                    os.close(descriptor)
                client.tell(f"declined {reason}")
                return
            client.tell("taken")
            stack.enter_context(suppress(ClientGoneError))
            with self._streams.of_client(descriptors, request.encodings):
                status = self._run(request, client)
            client.tell(f"ended {status}")

    def _run(self, request: Request, client: Client) -> int:
        warm = self._when_warm(client)
        times = JobTimer(warm.gate, client.require)
        begin = time.time()
        _settle_threads(warm.threads)
        status: int | None = None
        try:
            with collected_here(times):
                status = status_of(self._service.command, request.words)
            return status
        finally:
            if status != 0:
                _release_memory()
            self._service.report(_report(request, status, begin, times.seconds))

    def _when_warm(self, client: Client) -> _Warm:
        while not self._is_warm.wait(_GLANCE_S):
            client.require()
        if self._warm is None:
            raise ClientGoneError
        return self._warm


def _warmed_up(service: Service) -> _Warm:
    for module in service.modules:
        importlib.import_module(module)
    import torch

    from synthseg_core.models import loading
    from synthseg_core.networks.devices import choose_device

    threads = torch.get_num_threads()
    device = choose_device(service.device)
    torch.zeros(1, device=device)
    loading.shelf.capacity = _MODELS
    on_cpu = device.type == "cpu"
    room = _cores() // (service.threads or threads) if on_cpu else 1
    return _Warm(Gate(service.slots or max(1, room), COMPUTING if on_cpu else ON_DEVICE), threads)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _exact_for_all() -> AbstractContextManager[None]:
    """Return what keeps float32 exact throughout: jobs that ask for it one by one would take it from each other."""
    from synthseg_core.networks.devices import exact_float32

    return exact_float32()


def _settle_threads(count: int) -> None:
    """Let this thread compute with as many threads as a fresh process would.

    OpenMP keeps the number for each thread, and torch copies the number that was last set anywhere when a thread first
    asks for it: so ask, then set.
    """
    import torch

    torch.get_num_threads()
    torch.set_num_threads(count)


def _release_memory() -> None:
    """Let go of what a job held that failed, perhaps for want of memory."""
    import torch

    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _report(request: Request, status: int | None, begin: float, stages: Mapping[str, float]) -> dict[str, Any]:
    """Return what the log says of a job: the seconds since 1970 when it began and ended, and those of its stages."""
    rounded = {name: round(value, 4) for name, value in stages.items()}
    times = {"begin": round(begin, 3), "end": round(time.time(), 3)}
    return {"words": request.words, "status": status, **times, "stages": rounded}
