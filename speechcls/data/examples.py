"""A clip and a data set before anything is read."""

from dataclasses import dataclass, field
from pathlib import Path

NOISE_FOLDER = "_background_noise_"
SPLITS = ("train", "validation", "test")
_SPEAKER_END = "_nohash_"  # Speech Commands: <speaker>_nohash_<take>.wav


@dataclass(frozen=True)
class Example:
    """One clip: a recording or a part of one, and what is known about it before it is read."""

    path: Path
    label: str
    """The word as the data names it."""
    speaker: str | None = None
    split: str | None = None
    """``train``, ``validation`` or ``test`` where the data itself says so."""
    start_s: float = 0.0
    end_s: float | None = None
    gain: float = 1.0
    """Factor on the samples; only cuts of background noise have another than 1."""


@dataclass
class Dataset:
    """What was found in a folder or manifest."""

    root: Path
    """The folder that file names are given relative to."""
    examples: list[Example] = field(default_factory=list)
    noise: list[Path] = field(default_factory=list)
    """Recordings of background sound."""
    empty_labels: list[str] = field(default_factory=list)
    """Label folders without a recording."""
    problems: list[str] = field(default_factory=list)
    """One line for each clip that was named or found but cannot be an example."""
    manifest: Path | None = None
    """The file that names the clips, if one does."""

    @property
    def source(self) -> Path:
        """What the data set was read from: a manifest, else the folder."""
        return self.manifest or self.root

    @property
    def title(self) -> str:
        """Name of the manifest without its ending, else of the folder."""
        return self.manifest.stem if self.manifest else self.root.resolve().name

    def name_of(self, path: Path) -> str:
        """Return ``path`` relative to the root with forward slashes, whole if it lies elsewhere."""
        if path.is_relative_to(self.root):
            path = path.relative_to(self.root)
        return path.as_posix()
