"""A fake Kubernetes: an API server for Snakemake's executor that runs the command of each job as a process here.

It keeps what is posted to it, gives a job the environment that its manifest declares and nothing else but that of the
image, and an empty folder as the volume "workdir". It schedules nothing: no limit, no image, no volume is real.
"""

import base64
import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]


class FakeKubernetes:
    """What was posted (`jobs`, `secrets`, by name, kept when they are deleted), and the state of each job's process.

    folder: where each job gets a folder of its own. image: the environment of the image that jobs run in.
    """

    def __init__(self, folder: Path, image: dict[str, str]) -> None:
        self.jobs: dict[str, Manifest] = {}
        self.secrets: dict[str, Manifest] = {}
        self.deleted: set[str] = set()
        self.statuses: dict[str, int | None] = {}
        self.logs: dict[str, str] = {}
        self._folder, self._image = folder, image

    def take_job(self, job: Manifest) -> None:
        name = job["metadata"]["name"]
        self.jobs[name], self.statuses[name] = job, None
        threading.Thread(target=self._run, args=(name,), daemon=True).start()

    def _run(self, name: str) -> None:
        container = self.container(name)
        workdir = self._folder / name
        workdir.mkdir(parents=True)
        done = subprocess.run(
            [*container["command"], *container["args"]],
            cwd=workdir,
            env={**self._image, "PYTHONPATH": f"{workdir}/src", **self._environment(container)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.logs[name], self.statuses[name] = done.stdout, done.returncode

    def container(self, name: str) -> Manifest:
        (found,) = self.jobs[name]["spec"]["template"]["spec"]["containers"]
        return found

    def _environment(self, container: Manifest) -> dict[str, str]:
        found = {}
        for each in container["env"]:
            reference = each["valueFrom"]["secretKeyRef"]
            found[each["name"]] = base64.b64decode(self.secrets[reference["name"]]["data"][reference["key"]]).decode()
        return found

    def pods(self, job: str) -> list[Manifest]:
        """The pod of a job, with the state of its container."""
        if job not in self.jobs or job in self.deleted:
            return []
        status = self.statuses[job]
        state = {"running": {}} if status is None else {"terminated": {"exitCode": status}}
        known = {"name": "snakemake", "image": "", "imageID": "", "ready": True, "restartCount": 0, "state": state}
        return [{"metadata": {"name": f"{job}-pod"}, "status": {"containerStatuses": [known]}}]

    def status_of(self, job: str) -> Manifest:
        status = self.statuses[job]
        return {} if status is None else {"failed": 1} if status else {"succeeded": 1}


@contextlib.contextmanager
def serving(cluster: FakeKubernetes, kubeconfig: Path) -> Iterator[None]:
    """Serve a fake cluster on 127.0.0.1, and write the file by which clients find it."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self, value: Manifest | str, status: int = 200) -> None:
            body = (value if isinstance(value, str) else json.dumps(value)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(value, str) else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def content(self) -> Manifest:
            length = int(self.headers.get("Content-Length") or 0)
            return json.loads(self.rfile.read(length) or "{}")

        def do_POST(self) -> None:
            posted = self.content()
            kind = self.path.partition("?")[0].rpartition("/")[2]
            if kind == "secrets":
                cluster.secrets[posted["metadata"]["name"]] = posted
            else:
                assert kind == "jobs", self.path
                cluster.take_job(posted)
            self.answer(posted, 201)

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            words = path.strip("/").split("/")
            if words[-1] == "pods":
                self.answer({"items": cluster.pods(query.rpartition("%3D")[2])})
            elif words[-1] == "log":
                self.answer(cluster.logs[words[-2].removesuffix("-pod")])
            else:
                assert words[-1] == "status", self.path
                self.answer({"metadata": {"name": words[-2]}, "status": cluster.status_of(words[-2])})

        def do_DELETE(self) -> None:
            self.content()
            cluster.deleted.add(self.path.partition("?")[0].rpartition("/")[2])
            self.answer({})

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    named = {"name": "fake"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{**named, "cluster": {"server": address}}],
        "users": [{**named, "user": {}}],
        "contexts": [{**named, "context": {"cluster": "fake", "user": "fake"}}],
        "current-context": "fake",
    }
    kubeconfig.write_text(yaml.safe_dump(content))
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
