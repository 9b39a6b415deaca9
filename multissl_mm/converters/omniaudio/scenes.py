"""Scenes of OmniAudio as arrays that are read piece by piece, and an index of their segments."""
import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple
from zipfile import BadZipFile

import cv2
import numpy as np
from rich.progress import track

from ...datasets.ear_pairs import EAR_PAIRS
from ...datasets.omniaudio import VERSION, OmniAudioDataset
from ...errors import MultiSSLError
from ...utils.files import write_atomically
from .options import Options
from .recordings import TOLERANCE, check_sound, find_tracks
from .video import cut_video


def read_labels(folder: Path) -> Optional[np.ndarray]:
    """Classes (F, H, W) of all frames of a simulated scene's video; None for a real one.

    Raises:
        MultiSSLError: If there is a file of them that cannot be read.
    """
    for path in folder.glob('LABELS_*.npz'):
        try:
            with np.load(path) as file:
                return file['labels']
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise MultiSSLError(f'{path} cannot be read ({error}); restore or remove it') from error
    return None


def state_of(folder: Path) -> Dict[str, List[int]]:
    """Size and time of every file of a scene, by which a file that has changed is noticed."""
    return {p.name: [p.stat().st_size, p.stat().st_mtime_ns] for p in sorted(folder.iterdir())
            if p.is_file()}


def read_done(path: Path, **same: Any) -> Optional[Dict[str, Any]]:
    """A scene's ``scene.json``, if it is there and says the same."""
    try:
        found = json.loads(path.read_text())
        return found if all(found[key] == value for key, value in same.items()) else None
    except (OSError, ValueError, KeyError, TypeError):  # damaged is as good as not there
        return None


def convert_scene(root: Path, out: Path, how: Options, scene: int) -> Dict[str, Any]:
    """Checks and converts a scene, unless that was done before.

    A scene counts as done if its ``scene.json`` has the same options and the recordings are as
    they were then.

    Returns:
        dict: Its entry in the index.

    Raises:
        MultiSSLError: If one of its files cannot be used; names it. Nothing new is left behind.
    """
    cv2.setNumThreads(0)
    final, folder = out / f'scene{scene:04d}', root / f'scene{scene:04d}'
    options = json.loads(json.dumps(dict(how._asdict(), version=VERSION)))
    partial_folder = out / f'.scene{scene:04d}.partial'
    shutil.rmtree(partial_folder, ignore_errors=True)  # of an interrupted run
    sources = state_of(folder)
    done = read_done(final / 'scene.json', options=options, sources=sources)
    if done:
        return done['entry']
    tracks = find_tracks(folder)
    rate, duration, starts = check_sound(tracks, how.seconds, how.silence)
    videos = sorted(folder.glob('VIDEO_*_cropped.mp4'))
    if len(videos) != 1:
        raise MultiSSLError(f'{folder} has {len(videos)} files VIDEO_*_cropped.mp4, not one')
    arrays = cut_video(videos[0], read_labels(folder), how)
    seen = len(arrays['frames']) / how.fps
    if seen < duration - TOLERANCE:
        raise MultiSSLError(f'{videos[0]} lasts {seen:.2f} s, the sound {duration:.2f} s; restore '
                            'the video')
    duration = min(duration, seen)
    entry = dict(
        scene=scene, duration=duration, frames=len(arrays['frames']), sample_rate=rate,
        video=str(videos[0].relative_to(root)),
        tracks={str(n): str(p.relative_to(root)) for n, p in tracks.items()},
        pairs=[k for k, pair in enumerate(EAR_PAIRS) if all(n in tracks for n in pair)],
        arrays=sorted(arrays), segments=[s for s in starts if s + how.seconds <= duration])
    if not entry['segments']:
        raise MultiSSLError(f'{folder}: no segment of {how.seconds:g} s has any sound')
    partial_folder.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(partial_folder / f'{name}.npy', array)
    write_atomically(partial_folder / 'scene.json',
                     json.dumps(dict(options=options, sources=sources, entry=entry)))
    shutil.rmtree(final, ignore_errors=True)
    os.replace(partial_folder, final)
    return entry


def _try_scene(root: Path, out: Path, how: Options, scene: int) -> Tuple[int, Any]:
    try:
        return scene, convert_scene(root, out, how, scene)
    except MultiSSLError as error:
        return scene, str(error)
    except Exception as error:  # whatever a decoder makes of a damaged file
        return scene, f'{root / f"scene{scene:04d}"}: {type(error).__name__}: {error}'


def convert(root: Path, out: Path, how: Options, scenes: List[int], workers: int
            ) -> Tuple[List[Dict[str, Any]], Dict[int, str]]:
    """Converts scenes in parallel and writes the index.

    Returns:
        tuple: The entries of the index, and the reasons why other scenes are left out.
    """
    good: List[Dict[str, Any]] = []
    bad: Dict[int, str] = {}
    work = partial(_try_scene, root, out, how)
    try:
        with ProcessPoolExecutor(max(workers, 1)) as pool:
            for scene, found in track(pool.map(work, scenes), 'scenes', total=len(scenes)):
                if isinstance(found, str):
                    bad[scene] = found
                else:
                    good.append(found)
    except BrokenProcessPool as error:
        raise MultiSSLError('a worker was killed, perhaps for want of memory; lower --workers and '
                            'run this again, finished scenes are kept') from error
    rates = [entry['sample_rate'] for entry in good]
    usual = max(set(rates), key=rates.count) if rates else 0
    for entry in [e for e in good if e['sample_rate'] != usual]:
        good.remove(entry)
        folder, rate = root / f'scene{entry["scene"]:04d}', entry['sample_rate']
        bad[entry['scene']] = f'{folder} has {rate} Hz, most scenes {usual}; resample it'
    if not good:
        reasons = '\n'.join(list(bad.values())[:3])
        raise MultiSSLError(f'none of the {len(scenes)} scenes in {root} can be used:\n{reasons}')
    meta = dict(dataset='OmniAudio', version=VERSION, source=os.path.relpath(root, out),
                sample_rate=usual, classes=OmniAudioDataset.METAINFO['classes'], **how._asdict())
    write_atomically(out / 'index.json', json.dumps(dict(metainfo=meta, data_list=good)))
    return good, bad
