"""What the tests of the Python client begin with: a daemon, and a socket before it that can lose replies."""
import contextlib
import importlib.machinery
import importlib.util
import os
import pathlib
import socket
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARIES = os.environ.get("IOMMUD_BIN", str(ROOT / ".build/release"))
DEVICE = "0000:01:00.0"


def load_daemon():
    """The class that Tests/Support/with-daemon has."""
    path = str(ROOT / "Tests/Support/with-daemon")
    loader = importlib.machinery.SourceFileLoader("with_daemon", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("with_daemon", loader))
    loader.exec_module(module)
    return module.Daemon


Daemon = load_daemon()


class DaemonTest(unittest.TestCase):
    """Tests of one class share a daemon: `self.socket`."""

    @classmethod
    def setUpClass(cls):
        directory = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="iommud-client-"))
        cls.directory = directory
        log = cls.enterClassContext(open(f"{directory}/log", "ab"))
        cls.socket = cls.enterClassContext(Daemon(BINARIES, directory, log=log)).socket


class Cutter:
    """Stands between a client and the daemon, and can end a connection instead of passing on a reply."""

    def __init__(self, path, daemon):
        self.path = path
        self._daemon = daemon
        self._cut = None
        self.connections = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_at(self, method):
        """The next request of this method is carried out; its reply never comes."""
        self._cut = f'"{method}"'.encode()

    def close(self):
        # shutdown wakes the thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client):
        with client, socket.socket(socket.AF_UNIX) as daemon, client.makefile("rb") as requests:
            daemon.connect(self._daemon)
            cutting = threading.Event()
            answering = threading.Thread(target=self._answer, args=[daemon, client, cutting], daemon=True)
            answering.start()
            for line in iter(requests.readline, b""):
                if self._cut and self._cut in line:
                    self._cut = None
                    cutting.set()
                daemon.sendall(line)
            daemon.shutdown(socket.SHUT_WR)
            answering.join()

    @staticmethod
    def _answer(daemon, client, cutting):
        with contextlib.suppress(BrokenPipeError):
            while (data := daemon.recv(65536)) and not cutting.is_set():
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
