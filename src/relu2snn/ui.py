"""Serves MLflow's UI on the store of the runs, to this machine only: python -m relu2snn.ui [--port 5000]."""

import json
import os
import socket
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from relu2snn.arguments import Arguments
from relu2snn.config import compose_tracking
from relu2snn.errors import UserError, printable, shown
from relu2snn.tracking import Store, explained, follow_folder, require_database, results_state

HOST = "127.0.0.1"
# Where MLflow's pages keep how the table of an experiment's runs was last looked at.
_TABLE = 'MLflowLocalStorage-1.1-ExperimentPage-["{}"]-ReactComponentState'
# Where they keep choices in the browser. Unless these are made, they open on generative AI, with a panel of
# its assistant and a notice about telemetry, which is off here; the server has no setting for it (mlflow issue 24498).
_CHOICES = {
    "mlflow.workflowType_v1": '"machine_learning"',
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.telemetry.info.alert.dismissed_v1": "true",
    "mlflow.settings.telemetry.enabled_v1": "false",
}
_SCRIPT = """<script>
for (const [key, value] of Object.entries(%s)) if (localStorage.getItem(key) === null) localStorage.setItem(key, value);
if (!location.hash) location.replace("#" + %s);
</script>"""
# The pages give tables of a description no room between their columns, cut off long commands, show a picture as large
# as it is, and fold up a description after 100 pixels: here after its first row of figures.
_STYLE = """<style>
.note-editor-preview-content table { margin: 8px 0 16px; }
.note-editor-preview-content :is(th, td) { padding: 2px 16px 2px 0; text-align: left; }
.note-editor-preview-content pre { white-space: pre-wrap; }
.note-editor-preview-content img { max-width: 32%; vertical-align: top; }
.note-editor-preview-content img:only-child { max-width: 60%; }
div:has(> .note-view-outer-container img) { min-height: 400px; }
</style>"""


def main() -> None:
    """Serve the store's runs until Ctrl-C, or say where they are shown already."""
    parser = Arguments("python -m relu2snn.ui", __doc__.partition(":")[0])
    parser.add_argument("--port", default="5000", help="default: 5000")
    try:
        given = parser.parse_args()
        tracking = compose_tracking()
        store = Store(tracking.uri, tracking.artifacts, tracking.lock_timeout)
        if store.served:
            print(f"These runs are on a server, which shows them: {store.shown_address}")
            return
        if store.database is not None and not store.database.is_file():
            raise UserError(f"{store.database}: nothing logged yet; run make quickstart first")
        require_database(store)
        follow_folder(store)
        port = _free_port(given.port)
        with explained(store):
            app = _application(store)
        _serve(app, port)
    except UserError as error:
        print(f"relu2snn ui: {printable(str(error))}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        # The server has ended. Threads that still answer a page are not waited for, and none can make this an error.
        sys.stdout.flush()
        os._exit(0)


def _free_port(text: str) -> int:
    if not text.isdecimal() or len(text) > 9 or not 0 < int(text) < 65536:
        raise UserError(f"port {shown(text)}: not a number from 1 to 65535; choose one, as in make ui PORT=5001")
    port = int(text)
    with socket.socket() as probe:
        # As the server does: a port whose last server has just ended is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"port {port} of {HOST} cannot be used ({error.strerror}); choose another, as in make ui PORT=5001"
            ) from None
    return port


def _application(store: Store) -> Any:
    """MLflow's web application on `store`, with a first page of its own."""
    # MLflow's application guards itself against other hosts only where it sees that a server imports it.
    import uvicorn  # noqa: F401
    from mlflow import MlflowClient
    from mlflow.server import (
        ARTIFACT_ROOT_ENV_VAR,
        ARTIFACTS_DESTINATION_ENV_VAR,
        BACKEND_STORE_URI_ENV_VAR,
        REGISTRY_STORE_URI_ENV_VAR,
        SERVE_ARTIFACTS_ENV_VAR,
    )
    from mlflow.server import app as pages
    from starlette.requests import Request
    from starlette.responses import HTMLResponse
    from starlette.routing import Route

    os.environ |= {
        BACKEND_STORE_URI_ENV_VAR: store.address,
        REGISTRY_STORE_URI_ENV_VAR: store.address,
        ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        # For what a server has logged to the same store.
        ARTIFACTS_DESTINATION_ENV_VAR: store.artifacts or str(store.folder or "mlartifacts"),
        SERVE_ARTIFACTS_ENV_VAR: "true",
        # For the evaluation of language models.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with warnings.catch_warnings(action="ignore"):
        from mlflow.server.fastapi_app import app

    client = MlflowClient(store.address)
    page = Path(pages.static_folder, "index.html").read_text()

    def index(request: Request) -> HTMLResponse:
        suites = suites_of(client)
        tables = {_TABLE.format(suite): results_state() for suite in suites}
        script = _SCRIPT % (json.dumps(_CHOICES | tables), json.dumps(first_view(suites)))
        head = f"<head>{script}{_STYLE}"
        return HTMLResponse(page.replace("<head>", head, 1), headers={"cache-control": "no-cache"})

    # A store that cannot be used ends here.
    suites_of(client)
    app.router.routes.insert(0, Route("/", index))
    return app


def suites_of(client: Any) -> list[str]:
    """The ids of the suites' experiments."""
    return [each.experiment_id for each in client.search_experiments() if each.name.startswith("relu2snn/")]


def first_view(suites: Sequence[str]) -> str:
    """The runs of the only suite; the list of suites where there are more."""
    return f"/experiments/{suites[0]}/runs" if len(suites) == 1 else "/experiments"


def _serve(app: Any, port: int) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, *arguments: Any, **options: Any) -> None:
            await super().startup(*arguments, **options)
            print(f"MLflow shows the runs at http://{HOST}:{port}; Ctrl-C ends it", flush=True)

    Server(uvicorn.Config(app, host=HOST, port=port, log_level="warning")).run()


if __name__ == "__main__":
    main()
