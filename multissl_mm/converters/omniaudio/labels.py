"""Labels of real recordings, by a Cityscapes segmentation model of mmsegmentation."""
import json
import os
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np
from rich.progress import Progress

from ...datasets.classes import CLASSES
from ...datasets.omniaudio import CONVERTER, clip_frames, middle, read_index
from ...errors import MultiSSLError
from ...runtime.lock import one_writer
from ...utils.checkpoint import compare, load_state_dict_file, some
from ...utils.files import AnyPath, atomic_path, remove_leftovers, write_atomically
from .video import crop, read_frames

#: What Cityscapes calls our classes 1 to 5 (trainIds 15, 13, 16, 17 and 14).
CITYSCAPES = dict(bus='bus', car='car', tram='train', motorcycle='motorcycle', truck='truck')

#: Segments a picture (H, W, 3) RGB: (H, W), uint8, 0 or 1 to 5.
Segmenter = Callable[[np.ndarray], np.ndarray]


def load_segmenter(config: str, checkpoint: str, device: str) -> Segmenter:
    """A model of mmsegmentation, as a function of a panorama.

    The panorama is continued at both ends by what is at the other, so that a vehicle behind the
    listener is seen whole.

    Raises:
        MultiSSLError: If mmsegmentation is not there, if the checkpoint does not fill the model of
            the config, or if its classes are not those of Cityscapes.
    """
    try:
        from mmseg.apis import inference_model, init_model
    except (ImportError, AssertionError) as error:  # it asserts a range of versions of mmcv
        raise MultiSSLError(
            f'mmsegmentation cannot be imported ({error}); pip install onedl-mmsegmentation, or '
            'mmsegmentation with the original OpenMMLab packages') from error
    state = load_state_dict_file(checkpoint)
    try:
        model = init_model(config, checkpoint, device=device)
    except KeyError as error:
        if error.args != ('meta', ):
            raise
        raise MultiSSLError(f"{checkpoint} has no 'meta'; take one as mmsegmentation saves them"
                            ) from error
    # MMEngine loads what fits and goes on; a layer left random labels at random.
    lacks = compare(model.state_dict(), state).lacks
    if lacks:
        raise MultiSSLError(f'{checkpoint} lacks {some(lacks)} of the model of {config}; take the '
                            'two that belong together')
    names = list(model.dataset_meta['classes'])
    unknown = [name for name in CITYSCAPES.values() if name not in names]
    if unknown:
        raise MultiSSLError(f'{checkpoint} knows the classes {some(names)}, but not '
                            f'{", ".join(unknown)}; take a model trained on Cityscapes')
    to_ours = np.zeros(256, np.uint8)
    for i, ours in enumerate(CLASSES, 1):
        to_ours[names.index(CITYSCAPES[ours])] = i

    def segment(picture: np.ndarray) -> np.ndarray:
        margin = picture.shape[1] // 8
        around = np.concatenate([picture[:, -margin:], picture, picture[:, :margin]], axis=1)
        found = inference_model(model, np.ascontiguousarray(around[..., ::-1]))  # mmseg reads BGR
        return to_ours[found.pred_sem_seg.data[0, :, margin:-margin].cpu().numpy()]

    return segment


def middles(entry: Dict[str, Any], fps: float, seconds: float) -> List[int]:
    """Of each segment, the stored frame in its middle, as the dataset reads it."""
    return sorted({middle(clip_frames(start, seconds, entry['duration'], fps))
                   for start in entry['segments']})


def signed(by: Dict[str, Any], wanted: List[int], entry: Dict[str, Any], fps: float,
           seconds: float) -> Dict[str, Any]:
    """What is noted with a scene's labels: who made them.

    And of which frames, where other ones than the dataset reads were once labelled: those labels
    must not pass for these. At most rates they are the same, and so is the note.
    """
    once = sorted({min(round((start + seconds / 2) * fps), entry['frames'] - 1)
                   for start in entry['segments']})
    return by if wanted == once else dict(by, frames=wanted)


def label_scene(video: Path, masks: np.ndarray, wanted: List[int], fps: float,
                rows: Tuple[float, float], segment: Segmenter,
                advance: Callable[[], None] = lambda: None) -> np.ndarray:
    """Labels (F, H, W), uint8, of stored frames; masks (F, H, W) are 1 where something moves.

    Args:
        wanted (list[int]): Stored frames to label; the others are 0.
        fps (float): Of stored frames.
        rows (tuple[float, float]): Part of the video's height that is stored.
        advance (callable): Called after each labelled frame.

    Raises:
        MultiSSLError: If the video cannot be decoded, or ends before the last frame.
    """
    labels = np.zeros(masks.shape, np.uint8)
    left = set(wanted)
    for i, (_, picture) in enumerate(read_frames(video, fps)):
        if not left:
            break
        if i in left:
            found = crop(segment(picture), rows)
            small = cv2.resize(found, masks.shape[:0:-1], interpolation=cv2.INTER_NEAREST)
            labels[i] = small * (masks[i] > 0)
            left.remove(i)
            advance()
    if left:
        raise MultiSSLError(f'{video} ends before {max(left) / fps:.2f} s; restore it, or run '
                            f'{CONVERTER} again')
    return labels


def read_scene(folder: Path) -> dict:
    """What the converter noted of a scene."""
    path = folder / 'scene.json'
    try:
        found = json.loads(path.read_text())
        if 'arrays' in found['entry']:
            return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MultiSSLError(f'{path} cannot be read ({type(error).__name__}: {error}); run '
                            f'{CONVERTER} again') from error
    raise MultiSSLError(f'{path} is damaged; run {CONVERTER} again')


def read_masks(folder: Path) -> np.ndarray:
    """Moving foreground (F, H, W) of a scene, memory-mapped."""
    path = folder / 'masks.npy'
    try:
        return np.load(path, mmap_mode='r')
    except (OSError, ValueError) as error:
        raise MultiSSLError(f'{path} cannot be read ({error}); remove {folder} and run '
                            f'{CONVERTER} again') from error


class Labelled(NamedTuple):
    """Scenes by what became of them.

    Labelled now, by the same model before, by whoever made the recording; and the reasons why
    others could not be.
    """
    now: List[int]
    before: List[int]
    given: List[int]
    bad: Dict[int, str]

    def summary(self, out: Path) -> List[str]:
        """Lines for people."""
        lines = [f'{len(self.now)} scenes labelled in {out}, {len(self.before)} were labelled '
                 'before']
        if self.given:
            lines.append(f'{len(self.given)} scenes came with labels and keep them')
        if self.bad:
            lines += [f'{len(self.bad)} scenes could not be labelled:',
                      *(f'  scene {scene}: {self.bad[scene]}' for scene in sorted(self.bad))]
        return lines


def label_omniaudio(out: Path, config: AnyPath, checkpoint: AnyPath, device: str = 'cpu',
                    root: Optional[Path] = None) -> Labelled:
    """Labels the vehicles of what :func:`~multissl_mm.converters.omniaudio.convert` wrote.

    The model sees the frame in the middle of each segment, at the video's own size (section 5.1:
    one frame at 1 s of 2). Of what it finds, buses, cars, trams, motorcycles and trucks are kept
    where something moves, as in the paper's predecessor: what stands still makes no sound. Each
    scene gets ``labels.npy`` like that of simulated scenes (0, or 1 to 5; frames between are 0),
    and the index says so. Scenes that came with labels keep them, and what the same model has
    labelled is not done again.

    Args:
        out (Path): Folder of the index.
        config (str): Of mmsegmentation.
        checkpoint (str): Of that config, trained on Cityscapes.
        device (str): Of the model.
        root (Path, optional): Folder of the recordings, if they have moved.

    Raises:
        MultiSSLError: If mmsegmentation is not installed, the model is not one of Cityscapes, or
            the index cannot be used.
    """
    config, checkpoint = os.fspath(config), os.fspath(checkpoint)
    for path in (config, checkpoint):
        if '://' not in path and not Path(path).is_file():
            raise MultiSSLError(f'{path}: no such file')
    by = dict(config=Path(config).name, checkpoint=Path(checkpoint).name)
    return label(out, by, lambda: load_segmenter(config, checkpoint, device), root)


def label(out: Path, by: Dict[str, Any], load: Callable[[], Segmenter],
          root: Optional[Path] = None) -> Labelled:
    """Labels all scenes of an index that have no labels, or those of another model.

    Args:
        out (Path): Folder of the index.
        by (dict): What tells one model from another; noted with the labels.
        load (callable): Gives the segmenter; not called if nothing is to be done.
        root (Path, optional): Where the recordings are, if they have moved.

    Raises:
        MultiSSLError: If the index cannot be used.
    """
    read_index(str(out / 'index.json'))  # there is one
    with one_writer(out):
        return _label(out, by, load, root)


def _label(out: Path, by: Dict[str, Any], load: Callable[[], Segmenter], root: Optional[Path]
           ) -> Labelled:
    index = read_index(str(out / 'index.json'))
    meta = index['metainfo']
    root = root or out / meta['source']
    folders = {e['scene']: out / f'scene{e["scene"]:04d}' for e in index['data_list']}
    result = Labelled([], [], [], {})
    todo: List[Tuple[dict, dict, List[int]]] = []
    for entry in index['data_list']:
        scene = entry['scene']
        try:
            noted = read_scene(folders[scene])
        except MultiSSLError as error:
            result.bad[scene] = str(error)
            continue
        remove_leftovers(folders[scene])  # of an interrupted run
        wanted = middles(entry, meta['fps'], meta['seconds'])
        own = signed(by, wanted, entry, meta['fps'], meta['seconds'])
        if 'labels' not in noted['entry']['arrays'] or noted.get('labelled_by', own) != own:
            noted['labelled_by'] = own
            todo.append((entry, noted, wanted))
            continue
        entry['arrays'] = noted['entry']['arrays']  # an interrupted run did not write the index
        (result.before if 'labelled_by' in noted else result.given).append(scene)
    if not todo:
        write_atomically(out / 'index.json', json.dumps(index))
        return result
    segment = load()
    with Progress() as progress:
        bar = progress.add_task('frames', total=sum(len(wanted) for *_, wanted in todo))
        for entry, noted, wanted in todo:
            scene, folder = entry['scene'], folders[entry['scene']]
            before = progress.tasks[bar].completed
            try:
                labels = label_scene(root / entry['video'], read_masks(folder), wanted,
                                     meta['fps'], meta['rows'], segment,
                                     lambda: progress.advance(bar))
            except MultiSSLError as error:
                result.bad[scene] = str(error)
                progress.update(bar, completed=before + len(wanted))
                continue
            with atomic_path(folder / 'labels.npy') as part, open(part, 'wb') as file:
                np.save(file, labels)
            arrays = sorted({*noted['entry']['arrays'], 'labels'})
            noted['entry']['arrays'] = entry['arrays'] = arrays
            write_atomically(folder / 'scene.json', json.dumps(noted))
            result.now.append(scene)
    write_atomically(out / 'index.json', json.dumps(index))
    return result
