"""A picture of what a model is given: views, masks, flows and spectrograms, sample by sample."""
import copy
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import DATASETS, FUNCTIONS, DefaultScope
from torch import Tensor, nn

from ..datasets import PAIR_NAMES, KeyedDataset, ViewKey
from ..datasets.keyed import damaged_picture, picture_backend
from ..errors import MultiSSLError
from ..runtime import build_preprocessor, check_data, check_keys
from ..utils.figures import save_figure
from ..utils.images import read_image
from ..utils.names import bare
from ..utils.nested import dicts
from ..utils.wrappers import origin

#: Colours of classes.
_PALETTE = (255 * colormaps['tab10'](range(10))[:, :3]).astype(np.uint8)


class Panel(NamedTuple):
    """One picture of a sample: (H, W, 3), uint8, or a spectrogram (F, T) of any range."""
    title: str
    values: np.ndarray


def browse_dataset(cfg: Config, out: Path, split: str = 'train', count: int = 4, first: int = 0,
                   epoch: int = 0) -> Path:
    """Draws samples of a config's data as its model is given them.

    A row is a sample: the file, or of sound the frames that the pair of ears has before it; then
    all that the data preprocessor puts out. Pictures are turned back into colours, of a video the
    frame in the middle is shown; hue is the direction of flow, brightness its speed. Numbers stand
    above the row. Views are those of the given epoch of a run with the config's seed.

    Args:
        cfg (Config): Of a pretraining, or of anything else whose dataset MMEngine builds.
        out (Path): Picture; its ending says in which format.
        split (str): ``train``, ``val`` or ``test``: of which dataloader.
        count (int): How many samples.
        first (int): Number of the first one.
        epoch (int): Of the views, from 0.

    Returns:
        Path: ``out``.

    Raises:
        MultiSSLError: If the config has no such data, a file cannot be read, or a number cannot be.
    """
    for name, number, least in (('first', first, 0), ('count', count, 1), ('epoch', epoch, 0)):
        if number < least:
            raise MultiSSLError(f'--{name} is {number}; give a number from {least} on')
    loader = cfg.get(f'{split}_dataloader')
    if not loader:
        raise MultiSSLError(f'{cfg.filename or "the config"} has no {split}_dataloader')
    check_keys(cfg)
    check_data(cfg, (split, ))
    seed = (cfg.get('randomness') or {}).get('seed') or 0
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        dataset = DATASETS.build(_with_frames(loader.dataset))
        dataset.full_init()
        preprocessor = build_preprocessor(cfg)
        collate = FUNCTIONS.get((loader.get('collate_fn') or dict(type='pseudo_collate'))['type'])
        rows = []
        for index in range(first, min(first + count, len(dataset))):
            sample = _sample(dataset, ViewKey(seed, epoch, index))
            rows.append(_row(dataset.dataset if isinstance(dataset, KeyedDataset) else dataset,
                             index, preprocessor(collate([sample]), True), preprocessor,
                             _names(cfg)))
    if not rows:
        raise MultiSSLError(f'{split}: there is no sample {first}, it has {len(dataset)}')
    save_figure(_draw(rows, f'{cfg.filename or "config"}: {split}, epoch {epoch}'), out)
    return out


def _sample(dataset: Any, key: ViewKey) -> Any:
    if isinstance(dataset, KeyedDataset):
        return dataset[key]
    try:
        return dataset[key.index]
    except Exception as error:  # of a loader that meets a damaged picture, whatever it makes of it
        damage = damaged_picture(dataset, key.index, error)
        if damage is None:
            raise
        raise damage from error


def _names(cfg: Config) -> List[str]:
    """What the views of a list are called."""
    return list((cfg.get('model') or {}).get('view_names', ('query', 'key')))


def _row(dataset: Any, index: int, data: Mapping[str, Any], preprocessor: nn.Module,
         names: List[str]) -> Tuple[str, List[Panel]]:
    """What is said of a sample, and its panels."""
    inputs, samples = data['inputs'], data.get('data_samples') or [None]
    sample = samples[0] if isinstance(samples, (list, tuple)) else samples
    leaf, number = origin(dataset, index)
    info = leaf.get_data_info(number)
    named: Dict[str, Any] = dict(inputs) if isinstance(inputs, Mapping) else {'picture': inputs} \
        if isinstance(inputs, Tensor) else dict(zip(
            names if len(names) == len(inputs) else [f'view {i + 1}' for i in range(len(inputs))],
            inputs))
    caption, panels = _source(info, sample, picture_backend(leaf))
    for name, value in named.items():
        value = value[0].detach().cpu() if isinstance(value, Tensor) else value
        if not isinstance(value, Tensor) or value.numel() == 1:
            caption += f', {name} {value.item() if isinstance(value, Tensor) else value:.4g}'
        elif value.numel() < 64:
            caption += f', {name} {value.tolist()}'
        else:
            panels += _panels(name, value, preprocessor)
    return f'{index}: {caption}', panels + _objects(panels, sample)


def _source(info: Mapping[str, Any], sample: Any, backend: Optional[dict]
            ) -> Tuple[str, List[Panel]]:
    """Where a sample comes from, in words and, where it can be seen, as a picture."""
    if 'img_path' in info:
        return Path(info['img_path']).name, [
            Panel('file', read_image(info['img_path'], backend))]
    if 'scene' not in info:
        return 'sample', []
    start, turn = (float(sample.get(k, 0)) if sample is not None else 0. for k in ('start', 'turn'))
    return f'scene {info["scene"]} at {start:g} s, {PAIR_NAMES[int(turn)]} pair', []


def _with_frames(dataset: Any) -> Any:
    """A dataset's config whose samples of sound have the ``frames`` that go with them, too."""
    dataset = copy.deepcopy(dataset)
    for node in dicts(dataset):
        steps = [step for step in node.get('pipeline') or [] if isinstance(step, dict)]
        names = [bare(step.get('type')) for step in steps]
        if 'LoadClip' in names and 'PackSound' in names:
            pack = steps[names.index('PackSound')]
            pack['keys'] = ('frames', *pack.get('keys', ('clip', )))
            node['pipeline'].insert(names.index('LoadClip') + 1, dict(
                type='multissl_mm.LoadPanorama', keys=('frames', )))
    return dataset


def _panels(name: str, value: Tensor, preprocessor: nn.Module) -> List[Panel]:
    """Panels of one input, by its shape."""
    if value.is_complex():
        value = value.abs().square().clamp_min(1e-5).log()
    if value.dim() > 3 and value.size(-3) not in (2, 3):  # several of something else: the first
        value = value.flatten(0, -4)[0]
    if value.size(-1) > 64 * value.size(-2):  # waveforms, of which spectrograms are shown
        return []
    if value.dim() == 4 and value.size(1) == 2 and name != 'flow':  # pairs of ears
        return [panel for k, pair in enumerate(value)
                for panel in _panels(f'{name} {k + 1}', pair, preprocessor)]
    if value.dim() == 4:  # a video (T, C, H, W)
        value = value[len(value) // 2]
    if name == 'flow' and value.dim() == 3 and len(value) == 2:
        return [Panel(f'{name}, up to {value.norm(dim=0).max():.2g} px', flow_colours(value))]
    if value.dim() == 3 and len(value) == 2:
        return [Panel(f'{name}, {ear} ear', ear_value.numpy())
                for ear, ear_value in zip(('left', 'right'), value)]
    if value.dim() == 3 and len(value) == 3:
        return [Panel(name, _colours(value, preprocessor))]
    if value.dim() == 3:  # maps (T, H, W)
        value = value[len(value) // 2]
    if value.dim() != 2:
        return []
    if value.is_floating_point():
        return [Panel(name, value.numpy())]
    labels = value.numpy().astype(int)
    colours = np.where(labels[..., None] > 0, _PALETTE[labels % 10], 20)
    return [Panel(name, colours.astype(np.uint8))]


def _colours(value: Tensor, preprocessor: nn.Module) -> np.ndarray:
    """Pixels (3, H, W) as the model sees them, made visible: (H, W, 3), uint8, RGB."""
    mean, std = (getattr(preprocessor, name, None) for name in ('mean', 'std'))
    if mean is not None and std is not None:
        value = value * std.cpu().view(-1, 1, 1) + mean.cpu().view(-1, 1, 1)
    elif value.is_floating_point() and float(value.max()) <= 1:
        value = value * 255
    pixels = value.clamp(0, 255).round().byte().permute(1, 2, 0).numpy()
    # MMEngine's preprocessors leave BGR where they do not convert.
    bgr = getattr(preprocessor, '_channel_conversion', True) is False
    return pixels[..., ::-1] if bgr else pixels


def flow_colours(flow: Tensor) -> np.ndarray:
    """Flow (2, H, W) in pixels as colours (H, W, 3), uint8: hue is where to, brightness speed."""
    x, y = flow.float().numpy()
    speed = np.hypot(x, y)
    top = max(float(np.percentile(speed, 99.5)), 1e-3)
    hsv = np.stack([np.rad2deg(np.arctan2(y, x)) % 360 / 2, np.full_like(x, 230),
                    255 * np.clip(speed / top, 0, 1)], axis=-1).astype(np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def _objects(panels: List[Panel], sample: Any) -> List[Panel]:
    """The last picture with the instances that are to be found in it, for detectors."""
    found = sample.get('gt_instances') if hasattr(sample, 'get') else None
    if found is None or not panels or 'bboxes' not in found:
        return []
    picture = panels[-1].values.copy()
    masks = found.masks.to_ndarray() if 'masks' in found and len(found.masks) else []
    for mask, label in zip(masks, found.labels.tolist()):
        seen = mask[:picture.shape[0], :picture.shape[1]] > 0
        picture[:seen.shape[0], :seen.shape[1]][seen] = (
            .4 * picture[:seen.shape[0], :seen.shape[1]][seen] + .6 * _PALETTE[label % 10])
    boxes = getattr(found.bboxes, 'tensor', found.bboxes)
    for box, label in zip(boxes.tolist(), found.labels.tolist()):
        corners = [int(round(v)) for v in box]
        cv2.rectangle(picture, (corners[0], corners[1]), (corners[2], corners[3]),
                      _PALETTE[label % 10].tolist(), 2)
    return [Panel(f'{len(boxes)} objects', picture)]


def _draw(rows: List[Tuple[str, List[Panel]]], title: str, most: int = 7) -> Figure:
    # What does not fit beside each other goes on below.
    rows = [(caption if at == 0 else '', panels[at:at + most])
            for caption, panels in rows for at in range(0, len(panels), most)]
    grids = [[min(max(_shape(p)[1] / _shape(p)[0], .7), 3.) for p in panels] for _, panels in rows]
    widest = max(map(sum, grids))
    figure = Figure(figsize=(1.9 * widest + .4, 2.3 * len(rows) + .5), dpi=110,
                    layout='constrained')
    figure.suptitle(title, fontsize=10)
    parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, widths, (caption, panels) in zip(parts, grids, rows):
        part.suptitle(caption, fontsize=9, x=.01, ha='left', family='monospace')
        # What is left of the widest row's width stays empty.
        widths = [*widths, *[widest - sum(widths)] * (sum(widths) < widest)]
        axes = part.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
        for axis, panel in zip(axes, panels):
            spectrogram = panel.values.ndim == 2
            axis.imshow(panel.values, aspect='auto' if spectrogram else 'equal',
                        origin='lower' if spectrogram else 'upper', interpolation='nearest',
                        cmap='magma')
            axis.set_title(panel.title, fontsize=8)
            if spectrogram:
                axis.set_xlabel('time', fontsize=7)
                axis.set_ylabel('frequency', fontsize=7)
        for axis in axes:
            axis.set(xticks=[], yticks=[])
        for axis in axes[len(panels):]:
            axis.remove()
    return figure


def _shape(panel: Panel) -> Tuple[int, int]:
    """Height and width as it is drawn; spectrograms are what fits."""
    return (4, 5) if panel.values.ndim == 2 else panel.values.shape[:2]
