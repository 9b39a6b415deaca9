"""Files with seeded damage, read in a child of this process: whatever it does to it, is seen."""
import faulthandler
import json
import logging
import multiprocessing
import random
import resource
import signal
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple
from xml.etree import ElementTree

import cv2
import numpy as np
import soundfile
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from PIL import Image

from multissl_mm.apis.panorama_pictures import read_panorama
from multissl_mm.converters.omniaudio.recordings import check_sound
from multissl_mm.converters.omniaudio.scenes import read_labels
from multissl_mm.converters.omniaudio.video import read_frames
from multissl_mm.datasets import OmniAudioDataset
from multissl_mm.datasets.pictures import OpenPicture
from multissl_mm.datasets.sound_transforms import read_track
from multissl_mm.errors import MultiSSLError
from multissl_mm.runtime import check_data
from multissl_mm.utils.checkpoint import load_state_dict_file
from multissl_mm.utils.images import read_image

#: A file that is not read in so many seconds of CPU time hangs.
PATIENCE = 30


class Kind(NamedTuple):
    """How a file of a kind is made, and all ways in which it is read."""
    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], None]


def damaged(data: bytes, seed: int) -> bytes:
    """One to four changes: bits, bytes, numbers, blocks that go, come twice or trade places."""
    rng, data = random.Random(seed), bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        # Headers are where most can go wrong.
        at = rng.randrange(min(len(data), 256) if rng.random() < .5 else len(data))
        size = rng.choice((1, 2, 4, 8, 64, len(data) // 4 + 1))
        block = data[at:at + size]
        change = rng.randrange(8)
        if change == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif change == 1:
            data[at:at + size] = rng.randbytes(len(block))
        elif change == 2:
            data[at:at + 4] = rng.choice((b'\0\0\0\0', b'\xff\xff\xff\xff', b'\x7f\xff\xff\xff',
                                          b'\x80\0\0\0', b'\0\0\0\x80', b'9999'))
        elif change == 3:
            del data[at:at + size]
        elif change == 4:
            data[at:at] = block
        elif change == 5:
            to = rng.randrange(len(data))
            data[to:to + len(block)] = block
        elif change == 6:
            data[at:at + size] = bytes(len(block))
        else:
            del data[max(at, 1):]
        data = data or bytearray(1)
    return bytes(data)


def changed_json(data: bytes, seed: int) -> bytes:
    """One value is another, or gone: what is written well may say what makes no sense."""
    rng, root = random.Random(seed), json.loads(data)
    places: List[Tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                visit(node[key])

    visit(root)
    node, key = rng.choice(places)
    if rng.random() < .2:
        del node[key]
    else:
        node[key] = rng.choice((None, '', 'x', '../x', '/x', -1, 0, 10**30, .5, float('nan'),
                                True, [], {}, [None], [[]], [1, 2], {'x': 1}))
    return json.dumps(root).encode()


def changed_xml(data: bytes, seed: int) -> bytes:
    """The same for an element."""
    rng, root = random.Random(seed), ElementTree.fromstring(data)
    parent = rng.choice([node for node in root.iter() if len(node)])
    child = rng.choice(list(parent))
    if rng.random() < .3:
        parent.remove(child)
    else:
        child.text = rng.choice(('', 'x', '-1', 'nan', '1e400', None, '0x10'))
    return ElementTree.tostring(root)


#: Damage besides that of bytes, by the ending of a file.
CHANGES = {'.json': changed_json, '.xml': changed_xml}


# ---------------------------------------------------------------------- kinds of files

def _picture() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(noise, (64, 48), interpolation=cv2.INTER_CUBIC)


def _make_jpeg(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(_picture()).save(path, exif=exif, progressive=True)


def _make_wav(path: Path) -> None:
    soundfile.write(path, np.random.default_rng(0).normal(0, .1, 8000), 4000, subtype='PCM_16')


def _make_mp4(path: Path) -> None:
    import av
    with av.open(str(path), 'w') as file:
        stream = file.add_stream('mpeg4', rate=4)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for shift in range(8):
            frame = av.VideoFrame.from_ndarray(np.roll(_picture(), shift, 1), 'rgb24')
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def _make_coco(path: Path) -> None:
    corners = [[1, 1, 9, 1, 9, 9, 1, 9]]
    path.write_text(json.dumps(dict(
        images=[dict(id=i, file_name=f'{i}.png', width=32, height=32) for i in (1, 2)],
        categories=[dict(id=1, name='car')],
        annotations=[dict(id=i, image_id=i, category_id=1, iscrowd=0, area=64, bbox=[1, 1, 8, 8],
                          segmentation=corners) for i in (1, 2)])))


def _make_index(path: Path) -> None:
    tracks = {str(n): f'scene0001/SCENE_0001_Tr{n}.WAV' for n in range(1, 9)}
    scenes = [dict(scene=1, duration=6., frames=24, sample_rate=4000, tracks=tracks,
                   video='scene0001/VIDEO_0001_cropped.mp4', pairs=[0, 1, 2, 3],
                   arrays=['flow', 'frames'], segments=[0., 2., 4.])]
    meta = dict(dataset='OmniAudio', version=1, source='public', sample_rate=4000, fps=4.,
                size=[16, 64], rows=[0., 1.], classes=['bus', 'car'])
    path.write_text(json.dumps(dict(metainfo=meta, data_list=scenes)))
    folder = path.parent / 'public' / 'scene0001'
    folder.mkdir(parents=True, exist_ok=True)
    for track in tracks.values():
        (path.parent / 'public' / track).write_bytes(b'')


def _make_xml(path: Path) -> None:
    path.write_text('<annotation><filename>1.jpg</filename><size><width>64</width><height>48'
                    '</height><depth>3</depth></size><object><name>car</name><difficult>0'
                    '</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax>'
                    '</bndbox></object></annotation>')


def _make_pth(path: Path, zipped: bool = True) -> None:
    torch.save(dict(state_dict={'backbone.conv.weight': torch.arange(30.).view(5, 6)},
                    meta=dict(epoch=1, iter=3), message_hub=dict(
                        log_scalars=dict(loss=HistoryBuffer([1., 2.], [1, 1])))),
               path, _use_new_zipfile_serialization=zipped)


def _read_picture(path: Path) -> None:
    for read in (lambda: read_image(path), lambda: OpenPicture().transform(
            dict(img_path=str(path)))['picture'].decode(1)):
        read()


def _read_coco(path: Path) -> None:
    check_data(Config(dict(train_dataloader=dict(dataset=dict(
        type='mmdet.CocoDataset', ann_file=str(path), metainfo=dict(classes=('car', )),
        pipeline=[dict(type='LoadAnnotations', with_mask=True)])))), ['train'])


def _read_xml(path: Path) -> None:
    (path.parent / 'list.txt').write_text(path.stem)
    check_data(Config(dict(train_dataloader=dict(dataset=dict(
        type='mmdet.VOCDataset', data_root=str(path.parent), ann_file='list.txt',
        data_prefix=dict(sub_data_root='.'), ann_subdir='')))), ['train'])


def _read_index(path: Path) -> None:
    len(OmniAudioDataset(str(path.parent), ann_file=path.name, split=None))


def _make_labels(path: Path) -> None:
    np.savez_compressed(path, labels=np.ones((8, 16, 64), np.uint8))


KINDS: Dict[str, Kind] = {kind.name: kind for kind in (
    Kind('a.jpg', _make_jpeg, _read_picture),
    Kind('a.png', lambda path: Image.fromarray(_picture()).save(path), _read_picture),
    Kind('a.wav', _make_wav, lambda path: (check_sound({1: path}, .5, 20.),
                                           read_track(str(path), .5, 1., 4000))),
    Kind('a.mp4', _make_mp4, lambda path: (list(read_frames(path, 4.)), read_panorama(path, 1.))),
    Kind('a.xml', _make_xml, _read_xml), Kind('coco.json', _make_coco, _read_coco),
    Kind('index.json', _make_index, _read_index),
    Kind('a.pth', _make_pth, lambda path: load_state_dict_file(path)),
    Kind('old.pth', lambda path: _make_pth(path, False), lambda path: load_state_dict_file(path)),
    Kind('LABELS_1.npz', _make_labels, lambda path: read_labels(path.parent)))}


# ---------------------------------------------------------------------- what comes of it

def outcome(kind: Kind, path: Path) -> str:
    """``read``, ``named``, or what else happened, in words."""
    try:
        kind.read(path)
    except MultiSSLError as error:
        text = str(error)
        return 'named' if path.name in text and '\n' not in text else f'says: {text!r}'
    except BaseException as error:
        return f'raises {type(error).__name__}: {error}'
    return 'read'


def _child(names: Sequence[str], seeds: range, folder: Path, results: Any) -> None:
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    faulthandler.disable()  # a crash is reported in one line
    cv2.setNumThreads(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name in names:
        kind, path = KINDS[name], folder / name.partition('.')[0] / name
        path.parent.mkdir(exist_ok=True)
        kind.make(path)
        whole = path.read_bytes()
        assert outcome(kind, path) == 'read', outcome(kind, path)
        for seed in seeds:
            results.send((name, seed, 'ends the process'))
            damage = CHANGES.get(path.suffix, damaged) if seed % 2 else damaged
            path.write_bytes(damage(whole, seed))
            signal.setitimer(signal.ITIMER_PROF, PATIENCE)  # ends a process that hangs
            results.send((name, seed, outcome(kind, path)))
            signal.setitimer(signal.ITIMER_PROF, 0)
    results.send(None)


def fuzz(folder: Path, seeds: range, names: Sequence[str] = tuple(KINDS)
         ) -> Tuple[Dict[str, Dict[str, int]], List[str]]:
    """Reads every kind of file with the damage of every seed.

    Returns:
        tuple: How often it was ``read`` and ``named``, by kind; and all other outcomes in words.
    """
    receiver, sender = multiprocessing.Pipe(False)
    process = multiprocessing.get_context('fork').Process(
        target=_child, args=(names, seeds, folder, sender))
    process.start()
    sender.close()
    counts = {name: dict(read=0, named=0) for name in names}
    bad, last, end = [], None, time.monotonic() + 1200
    while time.monotonic() < end:
        try:
            message = receiver.recv()
        except EOFError:  # the child is gone
            bad.append(f'{last}, exit code {(process.join(), process.exitcode)[1]}')
            break
        if message is None:
            break
        name, seed, what = last = message
        if what in counts[name]:
            counts[name][what] += 1
        elif what != 'ends the process':
            bad.append(f'{name}, seed {seed}: {what}')
    process.kill()
    process.join()
    return counts, bad
