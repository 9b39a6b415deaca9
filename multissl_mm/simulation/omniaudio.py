"""Writes scenes as 360-degree video with eight microphones, in the public layout of OmniAudio.

Scene i depends on (seed, i) alone. It appears under its name only when it is whole.
"""
import os
import shutil
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np

from ..datasets.ear_pairs import EAR_PAIRS
from ..runtime.lock import one_writer
from ..utils.files import not_written
from ..utils.keyed_random import key_to_seed
from ..utils.sounds import write_sound
from ..utils.video import import_av
from .heads import KEMAR, impulse_responses, named
from .hearing import hear, track_order
from .panorama import PanoramaCamera
from .recordings import content_of, recordings
from .scene import Scene, street_scene
from .writers import parallel, read_manifest, write_manifest

#: Raise it when the same seed gives other scenes than before.
VERSION = 1


class Recording(NamedTuple):
    """How scenes are recorded: seconds, panorama (height, width), frames and samples per second.

    ``vehicles=False`` leaves their sound out (not their picture): the ambience of the place stays.
    ``head`` and ``recordings`` are those of :func:`hear`.
    """
    seconds: float = 60.
    size: Tuple[int, int] = (128, 256)
    fps: int = 8
    rate: int = 16000
    vehicles: bool = True
    head: str = KEMAR
    recordings: Optional[str] = None

    def described(self) -> Dict[str, Any]:
        """For a manifest: content, not where files lie, and of what is usual nothing."""
        found = self._asdict()
        head, folder = found.pop('head'), found.pop('recordings')
        return {**found, **(dict(head=named(head)) if head != KEMAR else {}),
                **(dict(recordings=content_of(folder)) if folder else {})}


def nth_scene(seed: int, index: int, seconds: float) -> Scene:
    """Scene ``index`` (from 1) of a seed."""
    return street_scene(np.random.default_rng(key_to_seed('street', seed, index)), seconds)


def write_scene(root: Path, seed: int, how: Recording, index: int) -> None:
    """``root/scene%04d/`` with the video, ``_Tr1`` to ``_Tr8`` and the labels of the frames.

    ``LABELS_%04d.npz`` holds ``labels`` (F, H, W), uint8: 0, or where something is that sounds
    its place in ``CLASSES``, from 1.

    Raises:
        MultiSSLError: If the system refuses to write; the scene is not there then.
    """
    final = root / f'scene{index:04d}'
    if final.exists():
        return
    folder = root / f'.scene{index:04d}.partial'
    shutil.rmtree(folder, ignore_errors=True)
    scene = nth_scene(seed, index, how.seconds)
    sound = hear(scene, how.seconds, how.rate, vehicles=how.vehicles, head=how.head,
                 recordings=how.recordings)
    sound = sound * min(1., .98 / max(float(np.abs(sound).max()), 1e-9))
    try:
        folder.mkdir(parents=True)
        _write_video(folder, index, scene, how)
        for track, channel in enumerate(track_order(EAR_PAIRS), 1):
            write_sound(folder / f'SCENE_{index:04d}_Tr{track}.WAV', sound[channel], how.rate)
        os.replace(folder, final)
    except OSError as error:
        raise not_written(final, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_video(folder: Path, index: int, scene: Scene, how: Recording) -> None:
    height, width = how.size
    av = import_av()
    camera, labels = PanoramaCamera(scene, how.size), []
    with av.open(str(folder / f'VIDEO_{index:04d}_cropped.mp4'), 'w') as file:
        stream = file.add_stream('mpeg4', rate=Fraction(how.fps))
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        stream.bit_rate = 40 * width * height
        stream.codec_context.thread_count = 1  # scenes are written in parallel
        for i in range(round(how.seconds * how.fps)):
            picture = camera.frame(i / how.fps)
            labels.append(picture.labels)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture.image), 'bgr24')
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    np.savez_compressed(folder / f'LABELS_{index:04d}.npz', labels=np.stack(labels))


def write_omniaudio(root: Path, seed: int, count: int, how: Recording, workers: int) -> bool:
    """Writes ``count`` scenes unless they are there; goes on where it was interrupted.

    One process at a time writes to a folder.

    Returns:
        bool: Whether anything had to be done.

    Raises:
        MultiSSLError: If the folder holds scenes that other arguments make, or a package of the
            extra ``simulation`` is missing.
    """
    path = root / 'manifest.json'
    manifest = dict(part='omniaudio', seed=seed, count=count, version=VERSION,
                    **how.described())
    if read_manifest(path, manifest):
        return False
    import_av(), impulse_responses(how.head, how.rate)  # without these nothing is begun
    if how.recordings:
        recordings(how.recordings, how.rate)
    with one_writer(root):
        if read_manifest(path, manifest):  # another process has written them meanwhile
            return False
        write_manifest(path, manifest, done=False)
        parallel(partial(_write_nth, root, seed, how), count, workers, 'OmniAudio layout', chunk=1)
        write_manifest(path, manifest, done=True)
    return True


def _write_nth(root: Path, seed: int, how: Recording, i: int) -> None:
    write_scene(root, seed, how, i + 1)
