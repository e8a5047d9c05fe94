"""One run for each key, whoever logs to the store at the same time: MLflow itself finds runs, and makes any number.

A run that is made is a candidate until its content is tagged. Whoever has made one looks again: a candidate without
rival is chosen; of rivals, who sees one of a smaller id withdraws its own, and who sees one of a larger id waits, since
that may have been chosen before this one was there. So two processes never choose two runs. A process that was killed
leaves a candidate, or a run half-filled; it is taken over, at once where the process is known to be gone, else when
nothing of what it logs has changed for a while.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from relu2snn.processes import Process

KEY_TAG = "relu2snn.key"
CONTENT_TAG = "relu2snn.content"
FAMILY_TAG = "relu2snn.family"
WRITER_TAG = "relu2snn.writer"

# Seconds without a change after which a writer of another machine counts as gone, and between two looks: a look may
# take longer than that.
PATIENCE = 60.0
_PAUSE, _SHARE = 0.2, 2.0
_PAGE = 1000


@dataclass(frozen=True)
class Draft:
    """A run to be found or made: the hash of what it is, its name, its start in milliseconds since the epoch."""

    key: str
    name: str
    start: int


class Claims:
    """The runs of a family, which are logged together, in one MLflow experiment.

    alone: whether no other process logs to the store meanwhile, so that it is looked at once. `made` are the ids of
    the runs that were made here, and show nothing yet.
    """

    def __init__(self, client: Any, experiment_id: str, family: str, alone: bool) -> None:
        self._client, self._experiment_id, self._family, self._alone = client, experiment_id, family, alone
        self._writer = str(Process.this())
        self._seen: list[Any] | None = None
        self.made: set[str] = set()

    def settle(self, draft: Draft) -> str:
        """The id of the run for a draft, found or made, which may still be filled by another process."""
        ((_, run),) = self._decisions([draft], filled=False)
        run_id = str(run.info.run_id)
        if run_id in self.made and not self._alone:
            self._client.set_tag(run_id, CONTENT_TAG, "")
        return run_id

    def each(self, drafts: Sequence[Draft]) -> Iterator[tuple[str, Any]]:
        """The key and the run of each draft, found or made, as soon as it is to be filled here.

        It must be filled at once, since others may wait for it. What another process fills comes after that is done.
        """
        return self._decisions(drafts, filled=True)

    def _decisions(self, drafts: Sequence[Draft], filled: bool) -> Iterator[tuple[str, Any]]:
        waiting = {each.key: each for each in drafts}
        state: list[Any] = []
        changed = time.monotonic()
        while waiting:
            start = time.monotonic()
            found = self._found(waiting)
            if state != (state := sorted(map(_state, self._seen or []))):
                changed = start
            patient = not self._alone and start - changed < PATIENCE
            made = False
            for key, runs in found.items():
                run = self._decided(runs, patient, filled) if runs else self._make(waiting[key])
                made = made or not runs
                if run is not None and (runs or self._alone):
                    del waiting[key]
                    yield key, run
            if waiting and not made:
                # What somebody else fills must not be slowed down by looking at it.
                time.sleep(max(_PAUSE, _SHARE * (time.monotonic() - start)))

    def _found(self, keys: Iterable[str]) -> dict[str, list[Any]]:
        """The runs of each key, by id, as the store has them now."""
        if self._seen is None or not self._alone:
            self._seen = list(self._search())
        found: dict[str, list[Any]] = {key: [] for key in keys}
        for run in self._seen:
            if (key := run.data.tags.get(KEY_TAG)) in found:
                found[key].append(run)
        return {key: sorted(runs, key=lambda run: str(run.info.run_id)) for key, runs in found.items()}

    def _search(self) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id], f"tags.`{FAMILY_TAG}` = '{self._family}'", max_results=_PAGE, page_token=token
            )
            yield from page
            if not (token := page.token):
                return

    def _make(self, draft: Draft) -> Any:
        tags = {KEY_TAG: draft.key, FAMILY_TAG: self._family, WRITER_TAG: self._writer}
        run = self._client.create_run(self._experiment_id, draft.start, tags, draft.name)
        self.made.add(str(run.info.run_id))
        if self._alone and self._seen is not None:
            self._seen.append(run)
        return run

    def _decided(self, runs: Sequence[Any], patient: bool, filled: bool) -> Any:
        """The one of a key's runs that is its run, or None while that is open."""
        settled = [run for run in runs if CONTENT_TAG in run.data.tags]
        if settled:
            best = min(settled, key=lambda run: (run.info.status != "FINISHED", run.info.run_id))
            if filled and best.info.status != "FINISHED" and patient and self._lives(best):
                return None
            return self._only(best, runs)
        mine = next((run for run in runs if run.data.tags.get(WRITER_TAG) == self._writer), None)
        rivals = [run for run in runs if patient and self._lives(run)]
        if not rivals:
            return self._only(mine or runs[0], runs)
        if mine is not None and rivals[0].info.run_id < mine.info.run_id:
            self._client.delete_run(mine.info.run_id)
        return None

    def _lives(self, run: Any) -> bool:
        """Whether another process that fills a run may still do so; one of another machine may."""
        writer = run.data.tags.get(WRITER_TAG, "")
        process = Process.parse(writer) if writer.count("-") == 2 else None
        return writer != self._writer and process is not None and process.lives() is not False

    def _only(self, best: Any, runs: Sequence[Any]) -> Any:
        for run in runs:
            if run is not best:
                self._client.delete_run(run.info.run_id)
        return best


def _state(run: Any) -> tuple[str, str, int, int, int]:
    """What changes as a run is filled."""
    data = run.data
    return str(run.info.run_id), str(run.info.status), len(data.tags), len(data.params), len(data.metrics)
