"""Scenes of OmniAudio as arrays that are read piece by piece, and an index of their segments."""
import json
import os
import re
import shutil
from concurrent.futures.process import BrokenProcessPool
from filecmp import cmp
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np
from rich.progress import track

from ...datasets.classes import CLASSES
from ...datasets.ear_pairs import EAR_PAIRS, PAIR_NAMES
from ...datasets.omniaudio import VERSION
from ...errors import MultiSSLError, in_one_line
from ...runtime.lock import one_writer
from ...utils.checkpoint import some
from ...utils.digest import file_digest
from ...utils.files import check_folder, free_bytes, kinds, write_atomically
from ...utils.pool import worker_pool
from ...utils.video import import_av
from .options import DEFAULT, Options
from .recordings import LABELS, TOLERANCE, VIDEO, check_sound, files_of, find_tracks, is_read
from .video import cut_video

#: Beside a scene's arrays: when its recordings were last changed, which is not what they are.
STATE = '.recordings.json'


def read_labels(folder: Path) -> Optional[np.ndarray]:
    """Classes (F, H, W) of all frames of a simulated scene's video; None for a real one.

    Raises:
        MultiSSLError: If there is a file of them that cannot be read.
    """
    for path in files_of(folder):
        if not is_read(path, [LABELS]):
            continue
        try:
            with np.load(path) as file:
                return file['labels']
        except Exception as error:  # damage leads NumPy's reader to anything
            raise MultiSSLError(f'{path} cannot be read ({in_one_line(error)}); restore or remove '
                                'it') from error
    return None


def state_of(folder: Path) -> Dict[str, List[int]]:
    """Size and time of every file of a scene, by which a file that has changed is noticed."""
    return {p.name: [p.stat().st_size, p.stat().st_mtime_ns] for p in files_of(folder)}


def content_of(folder: Path) -> Dict[str, str]:
    """Digest of every file of a scene that is read: the same wherever and whenever written."""
    return {p.name: file_digest(p)[:16] for p in files_of(folder) if is_read(p)}


def read_done(final: Path, options: Dict[str, Any], state: Dict[str, List[int]]
              ) -> Optional[Dict[str, Any]]:
    """A scene's ``scene.json``, if it is there and of the same options and recordings."""
    try:
        found = json.loads((final / 'scene.json').read_text())
        same = found['options'] == options and 'content' in found and \
            json.loads((final / STATE).read_text()) == state
        return found if same else None
    except (OSError, ValueError, KeyError, TypeError):  # damaged is as good as not there
        return None


def convert_scene(root: Path, out: Path, options: Options, scene: int) -> Dict[str, Any]:
    """Checks and converts a scene, unless that was done before.

    A scene counts as done if its ``scene.json`` has the same options and the recordings have the
    sizes and times that they had then. Of their content ``scene.json`` has digests, so that the
    same recordings elsewhere are the same data.

    Returns:
        dict: Its entry in the index.

    Raises:
        MultiSSLError: If one of its files cannot be used; names it. Nothing new is left behind.
        NotWritten: If its arrays cannot be written.
    """
    cv2.setNumThreads(0)
    final, folder = out / f'scene{scene:04d}', root / f'scene{scene:04d}'
    noted = json.loads(json.dumps(dict(options._asdict(), version=VERSION)))
    partial_folder = out / f'.scene{scene:04d}.partial'
    shutil.rmtree(partial_folder, ignore_errors=True)  # of an interrupted run
    state = state_of(folder)
    done = read_done(final, noted, state)
    if done:
        return done['entry']
    tracks = find_tracks(folder)
    rate, duration, starts = check_sound(tracks, options.seconds, options.silence)
    videos = [p for p in files_of(folder) if is_read(p, [VIDEO])]
    if len(videos) != 1:
        raise MultiSSLError(f'{folder} has {len(videos)} files VIDEO_*_cropped.mp4, not one')
    arrays = cut_video(videos[0], read_labels(folder), options)
    seen = len(arrays['frames']) / options.fps
    if abs(seen - duration) > TOLERANCE:
        raise MultiSSLError(f'{videos[0]} lasts {seen:.2f} s, the sound {duration:.2f} s; restore '
                            'the shorter one, or cut the other where it is known that both begin '
                            'together')
    duration = min(duration, seen)
    entry = dict(
        scene=scene, duration=duration, frames=len(arrays['frames']), sample_rate=rate,
        video=str(videos[0].relative_to(root)),
        tracks={str(n): str(p.relative_to(root)) for n, p in tracks.items()},
        pairs=[k for k, pair in enumerate(EAR_PAIRS) if all(n in tracks for n in pair)],
        arrays=sorted(arrays), segments=[s for s in starts if s + options.seconds <= duration])
    if not entry['segments']:
        raise MultiSSLError(f'{folder}: no segment of {options.seconds:g} s has any sound')
    content = content_of(folder)
    try:
        partial_folder.mkdir(parents=True)
        for name, array in arrays.items():
            np.save(partial_folder / f'{name}.npy', array)
        write_atomically(partial_folder / STATE, json.dumps(state))
        write_atomically(partial_folder / 'scene.json', json.dumps(
            dict(options=noted, content=content, entry=entry)))
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial_folder, final)
    except (OSError, MultiSSLError) as error:
        shutil.rmtree(partial_folder, ignore_errors=True)
        raise NotWritten(f'{final}: cannot be written ({error}; {free_bytes(out) / 1e6:.3g} MB are '
                         'free there); run this again when it can, finished scenes are '
                         'kept') from error
    return entry


class NotWritten(MultiSSLError):
    """The system refuses to write, as on a full disk: no fault of a scene's."""


def _try_scene(root: Path, out: Path, options: Options, scene: int) -> Tuple[int, Any]:
    try:
        return scene, convert_scene(root, out, options, scene)
    except NotWritten:
        raise
    except MultiSSLError as error:
        return scene, str(error)
    except Exception as error:  # whatever a decoder makes of a damaged file
        return scene, f'{root / f"scene{scene:04d}"}: {type(error).__name__}: {error}'


def find_scenes(root: Path, first: int = 0, last: int = 10**6) -> List[int]:
    """Numbers of the scenes in a folder, from ``first`` to ``last``.

    Raises:
        MultiSSLError: If there are none.
    """
    if not root.is_dir():
        raise MultiSSLError(f'{root}: no such folder')
    scenes = sorted(int(p.name[5:]) for p in root.iterdir() if _is_scene(p))
    scenes = [scene for scene in scenes if first <= scene <= last]
    if not scenes:
        others = left_out(root)
        raise MultiSSLError(f'{root} has no folders scene0001, scene0002, ... (--scenes?)' +
                            f'; there are {some(others)}' * bool(others))
    return scenes


def left_out(root: Path) -> List[str]:
    """Names in a folder of scenes that may have been meant as scenes but are not named so."""
    return sorted(p.name for p in root.iterdir() if not p.name.startswith('.') and
                  not _is_scene(p) and (p.is_dir() or 'scene' in p.name.lower()))


def _is_scene(path: Path) -> bool:
    return re.fullmatch(r'scene\d{4}', path.name, re.ASCII) is not None and path.is_dir()


class Converted(NamedTuple):
    """What became of scenes: the entries of the index, and why others are left out.

    ``ignored`` are lines on what else there is, and why it was not read.
    """
    good: List[Dict[str, Any]]
    bad: Dict[int, str]
    ignored: List[str]

    def summary(self, out: Path) -> List[str]:
        """Lines for people."""
        good, bad, ignored = self
        segments = sum(len(entry['segments']) for entry in good)
        lines = [f'{len(good)} scenes, {sum(e["duration"] for e in good) / 60:.1f} minutes, '
                 f'{segments} segments in {out / "index.json"}']
        for pairs in sorted({tuple(e['pairs']) for e in good} - {(0, 1, 2, 3)}):
            lacking = [str(e['scene']) for e in good if tuple(e['pairs']) == pairs]
            names = ' and '.join(PAIR_NAMES[k] for k in range(4) if k not in pairs)
            lines.append(f'without the pairs {names} (tracks missing): scenes '
                         f'{", ".join(lacking)}')
        if bad:
            lines += [f'{len(bad)} scenes are left out:',
                      *(f'  scene {scene}: {bad[scene]}' for scene in sorted(bad))]
        return lines + ignored


def convert(root: Path, out: Path, options: Options = DEFAULT,
            scenes: Optional[Sequence[int]] = None, workers: int = 1) -> Converted:
    """Prepares OmniAudio for training: converts scenes in parallel and writes the index.

    The recordings stay where they are. ``out`` gets, for each scene, arrays that are read piece by
    piece (frames, flow, masks, and labels where the scene has them), and ``index.json``, which
    names all segments that are not silent. Finished scenes are not done again. One process at a
    time writes there.

    Args:
        root (Path): The public layout: ``scene%04d/`` with ``VIDEO_%04d_cropped.mp4`` and
            ``*_Tr1.WAV`` to ``*_Tr8.WAV``.
        out (Path): Folder to write.
        options (Options): What the arrays depend on.
        scenes (sequence[int], optional): The index then names no others. Defaults to all.
        workers (int): Processes.

    Returns:
        Converted: Also of the scenes that are left out, since a file of theirs cannot be used.

    Raises:
        MultiSSLError: If not one scene can be used, or what they become cannot be written.
    """
    options.check()
    check_folder(out)
    import_av()  # without it no scene could be converted
    scenes = find_scenes(root) if scenes is None else scenes
    with one_writer(out):
        return _convert(root, out, options, scenes, workers)


def _convert(root: Path, out: Path, options: Options, scenes: Sequence[int], workers: int
             ) -> Converted:
    good: List[Dict[str, Any]] = []
    bad: Dict[int, str] = {}
    work = partial(_try_scene, root, out, options)
    try:
        with worker_pool(workers) as pool:
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
    for entry, twin in twins(root, good):
        good.remove(entry)
        bad[entry['scene']] = (f'{root / entry["video"]} and its recordings are those of scene '
                               f'{twin["scene"]} again, a copy or a link; remove one of them')
    if not good:
        reasons = '\n'.join(list(bad.values())[:3])
        raise MultiSSLError(f'none of the {len(scenes)} scenes in {root} can be used:\n{reasons}')
    # Not by the paths' names: through a link, '..' leads to where the link's target is.
    source = os.path.relpath(root.resolve(), out.resolve())
    meta = dict(dataset='OmniAudio', version=VERSION, source=source, sample_rate=usual,
                classes=CLASSES, **options._asdict())
    write_atomically(out / 'index.json', json.dumps(dict(metainfo=meta, data_list=good)))
    return Converted(good, bad, _ignored(root, scenes))


def twins(root: Path, entries: Sequence[Dict[str, Any]]
          ) -> List[Tuple[Dict[str, Any], Dict[str, Any]]]:
    """Entries of scenes with the same files as an earlier one, each with that one's."""
    found = []
    seen: Dict[Tuple[int, ...], List[Dict[str, Any]]] = {}
    for entry in entries:
        files = _sources(root, entry)
        like = seen.setdefault(tuple(path.stat().st_size for path in files), [])
        twin = next((other for other in like if all(
            cmp(a, b, shallow=False) for a, b in zip(files, _sources(root, other)))), None)
        if twin is None:
            like.append(entry)
        else:
            found.append((entry, twin))
    return found


def _sources(root: Path, entry: Dict[str, Any]) -> List[Path]:
    return [root / path for path in (entry['video'], *entry['tracks'].values())]


def _ignored(root: Path, scenes: Sequence[int]) -> List[str]:
    lines, others = [], left_out(root)
    if others:
        lines.append(f'not read, since scenes are called scene0001, scene0002, ...: '
                     f'{", ".join(others)}')
    files = [path for scene in scenes for path in files_of(root / f'scene{scene:04d}')
             if not is_read(path)]
    if files:
        lines.append(f'not read, neither video nor track: {kinds(files)} in the folders of scenes')
    return lines
