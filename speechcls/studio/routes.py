"""All routes of the page, beside those of ``serve`` and within the same limits."""

import base64
import io
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from speechcls.artifact.calibration import load_calibration
from speechcls.audio.decode import read_clip
from speechcls.audio.samples import to_pcm
from speechcls.audio.wav import wav_bytes
from speechcls.config import MODELS
from speechcls.data_quality.check import FEW_CLIPS
from speechcls.errors import ArtifactError, AudioError, ConfigError, DatasetError
from speechcls.labels import speaker_of
from speechcls.live.takes import SAMPLE_RATE
from speechcls.serve.app import Service
from speechcls.serve.bodies import Recording, read_recordings
from speechcls.serve.guard import Refusal
from speechcls.serve.models import ServedModel
from speechcls.serve.streams import LOG
from speechcls.serve.work import Pool, Stop
from speechcls.studio.files import SANDBOX, read_files
from speechcls.studio.jobs import Job, JobError, JobFault, JobStopped
from speechcls.studio.project import Project, check_speaker
from speechcls.studio.recording import Cut, cut_imported, cut_prompted
from speechcls.studio.requests import (
    Handler,
    Pages,
    json_answer,
    object_in,
    only_own_page,
    query_of,
    seconds_in,
)
from speechcls.studio.thresholds import keep_thresholds, thresholds_in, why_not_kept
from speechcls.studio.training import EPOCHS, FAULT, Training, settings_of

T = TypeVar("T")
ROOT = "/studio/"
_JOBS_MAX = 4
"""Checks, reports and explanations at a time, those that wait included."""
_MODELS_MAX = 3
"""Models of the page that are served at a time; older ones stay on the disk."""
_NOT_WRITTEN = "cannot be written now; whoever runs the server finds why in its log"
_CLOSE_S = 20.0
_NAME_MAX = 255


class Studio:
    """The page and what it asks for.

    Parameters
    ----------
    service : of the server that it is a part of
    folder : of the recordings, as the user named it
    models : folder that trained models are written to

    Attributes
    ----------
    routes : of the page
    open_paths : those that hold no secret, and take no token: a browser cannot send one with them
    """

    def __init__(self, service: Service, folder: Path, models: Path = MODELS) -> None:
        self._service, self._folder, self._models = service, folder, models
        self._project = Project(folder)
        title = self._project.title
        self._training = Training(folder, models, title, self._serve_model)
        self._served: list[str] = []
        self._keeping = threading.Lock()
        self._pages = Pages()
        self._quick = Pool(2, service.settings.waiting, "studio")
        self._slow = Pool(2, _JOBS_MAX, "studio-job")
        self._files = read_files()
        self.routes = [Route(path, partial(self._file, path)) for path in self._files]
        self.routes += [
            Route(ROOT + name, only_own_page(handler), methods=[method])
            for (name, method), handler in self._handlers().items()
        ]
        self.open_paths = frozenset({*self._files, ROOT + "page"})

    def _handlers(self) -> dict[tuple[str, str], Handler]:
        return {
            ("project", "GET"): self._describe,
            ("words", "POST"): self._add_word,
            ("words/remove", "POST"): self._remove_word,
            ("takes", "POST"): self._record,
            ("import", "POST"): self._import,
            ("take", "GET"): self._play,
            ("takes/delete", "POST"): self._delete_take,
            ("undo", "POST"): self._undo,
            ("check", "POST"): self._check,
            ("training", "GET"): self._describe_training,
            ("training", "POST"): self._train,
            ("training/stop", "POST"): self._stop_training,
            ("models", "GET"): self._describe_models,
            ("thresholds", "POST"): self._keep_thresholds,
            ("report", "POST"): self._report,
            ("explain", "POST"): self._explain,
            ("page", "GET"): self._page,
        }

    def close(self) -> None:
        """End the training with the best model so far."""
        self._training.close(_CLOSE_S)
        for pool in (self._quick, self._slow):
            pool.executor.shutdown(wait=False, cancel_futures=True)

    async def _file(self, path: str, request: Request) -> Response:
        return self._files[path].response()

    async def _describe(self, request: Request) -> Response:
        query_of(request)
        return json_answer(await self._do(request, self._project_now))

    def _project_now(self) -> dict[str, Any]:
        project = self._project
        words = [
            {"word": word, "takes": [take.to_dict() for take in takes]}
            for word, takes in project.takes_by_word().items()
        ]
        return {
            "title": project.title,
            "folder": str(self._folder),
            "words": words,
            "undo": project.undoable(),
            "few": FEW_CLIPS,
            "epochs": EPOCHS,
        }

    async def _add_word(self, request: Request) -> Response:
        query = query_of(request, "word")
        return await self._changed(request, partial(self._project.add_word, query["word"]))

    async def _remove_word(self, request: Request) -> Response:
        query = query_of(request, "word")
        return await self._changed(request, partial(self._project.remove_word, query["word"]))

    async def _delete_take(self, request: Request) -> Response:
        query = query_of(request, "word", "take")
        job = partial(self._project.delete_take, query["word"], query["take"])
        return await self._changed(request, job)

    async def _undo(self, request: Request) -> Response:
        query_of(request)
        return await self._changed(request, self._project.undo)

    async def _changed(self, request: Request, change: Callable[[], Any]) -> Response:
        """Change the project; answer what it is then, and what the change says."""

        def do() -> dict[str, Any]:
            said = change()
            return {**self._project_now(), "said": said}

        return json_answer(await self._do(request, do))

    async def _record(self, request: Request) -> Response:
        query = query_of(request, "word", "speaker", "after_s")
        word, speaker = query["word"], check_speaker(query["speaker"])
        after_s = seconds_in(query, "after_s")
        return await self._keep(
            request, lambda one: (speaker, cut_prompted(one.content, one.name, after_s)), word
        )

    async def _import(self, request: Request) -> Response:
        query = query_of(request, "word", "speaker", "name")
        speaker, name = check_speaker(query["speaker"]), query["name"][-_NAME_MAX:]
        longest_s = self._service.settings.recording_s

        def cut(one: Recording) -> tuple[str, Cut]:
            try:
                return _speaker_in(name, speaker), cut_imported(one.content, name, longest_s)
            except AudioError as error:
                return speaker, Cut(rejected=[str(error)])

        return await self._keep(request, cut, query["word"])

    async def _keep(
        self, request: Request, cut: Callable[[Recording], tuple[str, Cut]], word: str
    ) -> Response:
        """Write what a recording is cut into; answer the takes and what is none."""

        def do(one: Recording) -> dict[str, Any]:
            speaker, found = cut(one)
            takes = [self._project.write(word, speaker, samples) for samples in found.takes]
            return {
                "written": [take.to_dict() for take in takes],
                "rejected": found.rejected,
                "warnings": found.warnings,
            }

        async with self._recording(request) as one:
            return json_answer(await self._do(request, partial(do, one)))

    async def _play(self, request: Request) -> Response:
        query = query_of(request, "word", "take")

        def read() -> bytes:
            path = self._project.path(query["word"], query["take"])
            return self._as_wav(path, query["take"])

        return Response(await self._do(request, read), media_type="audio/wav")

    def _as_wav(self, source: Path | BinaryIO, name: str) -> bytes:
        """Return a recording in the form that every browser plays."""
        longest_s = self._service.settings.clip_s
        samples = read_clip(source, SAMPLE_RATE, name=name, longest_s=longest_s)
        return wav_bytes(to_pcm(samples), SAMPLE_RATE)

    async def _check(self, request: Request) -> Response:
        query_of(request)
        task = {"task": "check", "data": str(self._folder)}
        return json_answer(await self._slow.run(request, partial(_run, task)))

    async def _describe_training(self, request: Request) -> Response:
        query_of(request)
        return json_answer(self._training.describe())

    async def _train(self, request: Request) -> Response:
        query_of(request)
        async with self._service.budget.body(request) as body:
            wanted = object_in(body)
        if wanted.keys() != {"length"} or wanted["length"] not in [*EPOCHS]:
            raise Refusal(400, f"length: must be one of {', '.join(EPOCHS)}")
        self._training.start(settings_of(wanted["length"]))
        return json_answer(self._training.describe())

    async def _stop_training(self, request: Request) -> Response:
        query_of(request)
        self._training.stop()
        return json_answer(self._training.describe())

    async def _describe_models(self, request: Request) -> Response:
        """Answer the models that are served, and what is known of their false alarms."""
        query_of(request)
        models = self._service.models
        found = models.describe()
        found["models"] = [
            self._describe_model(models.find(model["name"])) for model in found["models"]
        ]
        return json_answer({**found, "trained": self._served})

    def _describe_model(self, model: ServedModel) -> dict[str, Any]:
        calibration = load_calibration(model.artifact)
        return {
            **model.describe(),
            "calibration": calibration.to_dict() if calibration else None,
            "not_kept": why_not_kept(model.artifact, self._models),
        }

    async def _keep_thresholds(self, request: Request) -> Response:
        """Write thresholds into a model, and serve it with them; answer what it is then."""
        query = query_of(request, "model")
        models = self._service.models
        model = models.find(query["model"])
        async with self._service.budget.body(request) as body:
            thresholds = thresholds_in(object_in(body), model.artifact)
        if reason := why_not_kept(model.artifact, self._models):
            raise Refusal(422, f"model {model.name}: {reason}")

        def keep() -> dict[str, Any]:
            with self._keeping:
                try:
                    keep_thresholds(model.artifact.path, thresholds)
                    models.add(model.artifact.path, model.source)
                except ArtifactError as error:
                    LOG.error("thresholds: %s", error)
                    raise Refusal(422, f"model {model.name}: {_NOT_WRITTEN}") from None
            return self._describe_model(models.find(model.name))

        return json_answer(await self._do(request, keep))

    async def _report(self, request: Request) -> Response:
        query = query_of(request, "model")
        model = self._service.models.find(query["model"])
        task = {"task": "report", "data": str(self._folder), "model": str(model.artifact.path)}
        return json_answer(await self._slow.run(request, partial(self._make_page, task)))

    async def _explain(self, request: Request) -> Response:
        query = query_of(request, "model")
        model = self._service.models.find(query["model"])
        async with self._recording(request) as one:
            wav = await self._do(request, partial(self._as_wav, io.BytesIO(one.content), one.name))
        content, path = base64.b64encode(wav).decode(), str(model.artifact.path)
        task = {"task": "explain", "recording": content, "model": path}
        return json_answer(await self._slow.run(request, partial(self._make_page, task)))

    def _make_page(self, task: dict[str, Any], stop: Stop) -> dict[str, Any]:
        """Have a page written, and keep it."""
        with tempfile.TemporaryDirectory(prefix="speechcls-") as folder:
            made = _run({**task, "out": folder}, stop)
            return {"page": self._pages.add(Path(made["page"]).read_bytes())}

    async def _page(self, request: Request) -> Response:
        content = self._pages.find(query_of(request, "key")["key"])
        return Response(content, headers=SANDBOX, media_type="text/html")

    def _serve_model(self, path: Path) -> str:
        """Serve a model that was trained; return its name."""
        name = self._service.models.add(path, "trained on the page")
        self._served.append(name)
        while len(self._served) > _MODELS_MAX:
            self._service.models.remove(self._served.pop(0))
        return name

    async def _do(self, request: Request, job: Callable[[], T]) -> T:
        """Return what is done in a thread; what was not possible is the client's to mend."""
        try:
            return await self._quick.run(request, lambda stop: job())
        except (ConfigError, DatasetError, AudioError) as error:
            raise Refusal(422, str(error)) from None

    @asynccontextmanager
    async def _recording(self, request: Request) -> AsyncIterator[Recording]:
        """Yield the one recording in a body."""
        async with self._service.budget.body(request) as body:
            kind = request.headers.get("content-type", "")
            [recording] = read_recordings(kind, body, 1)
            yield recording


def _speaker_in(name: str, default: str) -> str:
    """Return the speaker that the name of a file tells, where it can be one."""
    found = speaker_of(Path(name.replace("\\", "/")).name)
    try:
        return check_speaker(found) if found else default
    except ConfigError:
        return default


def _run(task: dict[str, Any], stop: Stop) -> dict[str, Any]:
    """Return the result of a job, which ends when nobody waits for it any more.

    Raises
    ------
    Refusal
        When it is not possible.
    """
    job = Job(task)

    def watch() -> None:
        stop.wait()
        job.kill()

    threading.Thread(target=watch, daemon=True).start()
    try:
        return job.run()
    except (JobError, JobStopped) as error:
        raise Refusal(422, str(error)) from None
    except JobFault as error:
        LOG.error("%s: %s", task["task"], error)
        raise Refusal(500, f"{task['task']}: {FAULT}") from None
    finally:
        stop.set()
