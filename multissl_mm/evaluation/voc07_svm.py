"""The VOC07 linear SVM protocol: how well frozen features tell 20 classes of things apart.

Goyal et al., "Scaling and Benchmarking Self-Supervised Visual Representation Learning" (ICCV
2019), with the pictures and layers that OpenSelfSup and MMSelfSup use:

1. A picture is resized to a shorter edge of 256, then warped to 224 x 224. A feature is a layer of
   the frozen backbone, average-pooled to about 9,000 numbers, divided by its length.
2. Per class a linear SVM learns "present" against the rest on trainval. Its cost is the one of 19
   with the best average precision in 3-fold cross-validation.
3. mAP is the mean over classes of the area under the precision envelope on test.

An image in which a class is only there as "difficult" (label 0) counts as negative when that class
is learned, and is left out when it is tested. Precisions (AP, mAP) in results are percentages.

Use :func:`run_voc07_svm` for all of it, :func:`extract_features` and :func:`evaluate_voc07` for
the two halves.
"""
import contextlib
import glob
import hashlib
import itertools
import json
import logging
import os
import os.path as osp
import time
import warnings
from typing import Any, Callable, Iterable, Iterator, Mapping, NamedTuple, Optional, Sequence, Union

import cv2
import joblib
import numpy as np
import sklearn
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.dist import all_gather_object, get_dist_info
from mmengine.registry import DefaultScope
from mmengine.utils import import_modules_from_strings
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_validate
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ..errors import MultiSSLError
from ..registry import MODELS
from ..runtime import git_state, load_config, versions
from ..utils.checkpoint import backbone_state_dict, compare, load_state_dict_file, some
from ..utils.files import write_atomically

#: Costs, in the order in which they are tried: the first of equally good ones is taken.
COSTS = (1., 10., 100., *(0.5**n for n in range(4, 20)))
#: Positive examples per class of the low-shot protocol.
LOW_SHOTS = (1, 2, 4, 8, 16, 32, 64, 96)
FOLDS = 3
#: Features to fit, summed over fits, that take about 5 seconds on one core.
SMALL = 1e8


class Pooling(NamedTuple):
    """Average pooling of a layer: from its map at 224 px, ``size`` wide, to ``grid`` x ``grid``."""
    size: int
    grid: int
    kernel: int
    stride: int
    padding: int = 0


#: ResNet-50: 9216, 9216, 8192, 9216 and 8192 numbers. feat1 is the stem before its max pooling.
LAYERS = {
    'feat1': Pooling(112, 12, 10, 10, 4),
    'feat2': Pooling(56, 6, 16, 8),
    'feat3': Pooling(28, 4, 13, 5),
    'feat4': Pooling(14, 3, 8, 3),
    'feat5': Pooling(7, 2, 6, 1),
}


class Normalisation(NamedTuple):
    """What a ``data_preprocessor`` does to pixels of 0..255; the defaults are ImageNet's."""
    mean: Sequence[float] = (123.675, 116.28, 103.53)
    std: Sequence[float] = (58.395, 57.12, 57.375)
    to_rgb: bool = True


# ---------------------------------------------------------------------- pictures and labels

class VOCSplit(NamedTuple):
    """A split of VOC2007: N picture paths, and labels (N, classes) in {-1, 0: difficult, 1}."""
    paths: list[str]
    labels: np.ndarray


def load_voc2007(data_root: str) -> tuple[list[str], VOCSplit, VOCSplit]:
    """Reads ``ImageSets/Main/{class}_{trainval,test}.txt`` of a VOC2007 folder.

    Returns:
        tuple: Names of the classes (of whatever files are there, sorted), trainval and test.

    Raises:
        MultiSSLError: If files are missing, damaged or disagree, or pictures are missing.
    """
    main = osp.join(data_root, 'ImageSets', 'Main')
    if not osp.isdir(main):
        raise MultiSSLError(f'{main}: no such folder; --data-root must be the folder VOC2007 of '
                            'VOCdevkit, with ImageSets and JPEGImages in it')
    found = {split: {osp.basename(path)[:-len(f'_{split}.txt')]
                     for path in glob.glob(osp.join(glob.escape(main), f'*_{split}.txt'))}
             for split in ('trainval', 'test')}
    names = sorted(found['trainval'] | found['test'])
    for split, there in found.items():
        lacking = [name for name in names if name not in there]
        if lacking or not names:
            path = osp.join(main, f'{lacking[0] if lacking else "*"}_{split}.txt')
            raise MultiSSLError(f'{path}: no such file; extract both VOCtrainval_06-Nov-2007.tar '
                                f'and VOCtest_06-Nov-2007.tar into {data_root}')
    return names, *(_load_split(data_root, main, names, split) for split in found)


def _load_split(data_root: str, main: str, names: Sequence[str], split: str) -> VOCSplit:
    columns: list[dict[str, int]] = []
    for name in names:
        path = osp.join(main, f'{name}_{split}.txt')
        columns.append(_load_labels(path))
        different = columns[0].keys() ^ columns[-1].keys()
        if different:
            raise MultiSSLError(f'{path}: lists other images than {names[0]}_{split}.txt, among '
                                f'them {some(sorted(different), 3)}; extract the data again')
    ids = list(columns[0])
    paths = [osp.join(data_root, 'JPEGImages', f'{i}.jpg') for i in ids]
    absent = [path for path in paths if not osp.isfile(path)]
    if absent:
        raise MultiSSLError(f'{absent[0]}: no such image, though {split} lists it ({len(absent)} '
                            f'of {len(ids)} are missing); extract the images of {split}')
    return VOCSplit(paths, np.array([[column[i] for column in columns] for i in ids]))


def _load_labels(path: str) -> dict[str, int]:
    labels: dict[str, int] = {}
    with open(path) as f:
        for number, line in enumerate(f, 1):
            words = line.split()
            if not words:
                continue
            if len(words) != 2 or words[1] not in ('-1', '0', '1') or words[0] in labels:
                raise MultiSSLError(f'{path}, line {number}: {line.strip()!r} is not a new image '
                                    'id and -1, 0 or 1; extract the data again')
            labels[words[0]] = int(words[1])
    if not labels:
        raise MultiSSLError(f'{path}: lists no images; extract the data again')
    return labels


def load_image(path: str, image_size: int = 224) -> np.ndarray:
    """Reads a picture, resizes its shorter edge to 256 and warps it to 224 x 224.

    Args:
        path (str): Of the picture.
        image_size (int): Instead of 224; 256 becomes ``image_size * 256 / 224``.

    Returns:
        ndarray: (image_size, image_size, 3), uint8, RGB.

    Raises:
        MultiSSLError: If it cannot be read.
    """
    try:
        # OpenCV would fill up a truncated picture with grey and say nothing.
        with Image.open(path) as f:
            image = np.asarray(ImageOps.exif_transpose(f).convert('RGB'))
    except (OSError, SyntaxError, ValueError) as e:
        raise MultiSSLError(f'{path}: cannot be read as an image ({e}); copy it again') from e
    edge = round(image_size * 256 / 224)
    h, w = image.shape[:2]
    size = (edge, int(edge * h / w)) if w < h else (int(edge * w / h), edge)
    # Bilinear without antialiasing, as MMCV does it by default.
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return cv2.resize(image, (image_size, image_size), interpolation=cv2.INTER_LINEAR)


class _Pictures(Dataset):

    def __init__(self, paths: Sequence[str], image_size: int) -> None:
        self.paths, self.image_size = paths, image_size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(load_image(self.paths[index], self.image_size)).permute(2, 0, 1)


# ---------------------------------------------------------------------- backbone and features

def build_backbone(cfg: Config,
                   checkpoint: str,
                   prefix: str = 'backbone.',
                   seed: int = 0) -> nn.Module:
    """Builds ``model.backbone`` of a config and fills it, every parameter of it.

    Args:
        cfg (Config): Of mmpretrain, of this package, or any other with ``model.backbone``.
        checkpoint (str): File or URL; ``none`` or ``random`` for random weights.
        prefix (str): Of the backbone's keys in the checkpoint. A file of bare backbone keys is
            taken, too.
        seed (int): Of random weights.

    Raises:
        MultiSSLError: If a key is missing, unexpected or of another shape.
    """
    if cfg.get('custom_imports'):
        import_modules_from_strings(**cfg.custom_imports)
    backbone_cfg = (cfg.get('model') or {}).get('backbone')
    if backbone_cfg is None:
        raise MultiSSLError(f'{cfg.filename or "the config"}: has no model.backbone to take '
                            'features from')
    # All weights come from the checkpoint, or are random.
    backbone_cfg = {k: v for k, v in backbone_cfg.items()
                    if k != 'pretrained' and not (k == 'init_cfg' and 'Pretrained' in str(v))}
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')), \
            torch.random.fork_rng(devices=[]), _quiet():
        torch.manual_seed(seed)
        backbone = MODELS.build(backbone_cfg)
        if checkpoint.lower() in ('none', 'random'):
            backbone.init_weights()
        else:
            _fill(backbone, checkpoint, prefix)
    backbone.eval()  # returns nothing in mmpretrain's ResNet
    return backbone.requires_grad_(False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without MMEngine's lines on every parameter and file."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)


def _fill(backbone: nn.Module, checkpoint: str, prefix: str) -> None:
    state_dict = load_state_dict_file(checkpoint)
    expected = backbone.state_dict()
    if not any(k.startswith(prefix) for k in state_dict) and any(k in expected for k in state_dict):
        # Of the backbone alone; `fc` is the classifier of torchvision's and MoCo's files.
        state_dict = {k: v for k, v in state_dict.items() if not k.startswith('fc.')}
    else:
        state_dict = backbone_state_dict(state_dict, prefix, checkpoint)
    diff = compare(expected, state_dict)
    if any(diff):
        said = '; '.join(f'{what} {some(keys, 3)}' for what, keys in zip(
            ('missing:', 'unexpected:', 'of another shape:'), diff) if keys)
        raise MultiSSLError(f'{checkpoint}: does not fit model.backbone of the config; {said}. '
                            'Use the config that it was trained with, or set --prefix')
    backbone.load_state_dict(state_dict, strict=False)  # may lack num_batches_tracked


def find_normalisation(cfg: Config) -> Normalisation:
    """What the config's ``data_preprocessor`` does to pixels; ImageNet's where it has none."""
    preprocessor = ((cfg.get('model') or {}).get('data_preprocessor') or
                    cfg.get('data_preprocessor') or {})
    if not preprocessor.get('mean'):
        return Normalisation()
    to_rgb = preprocessor.get('to_rgb', preprocessor.get('bgr_to_rgb', False))
    return Normalisation(tuple(preprocessor['mean']), tuple(preprocessor['std']), to_rgb)


class PooledFeatures(nn.Module):
    """A backbone and the pooling of one of its layers.

    ResNets have all of ``LAYERS``; of other backbones feat5 is the last output, a map or a vector.

    Args:
        backbone (nn.Module): Left as it is, but for a ResNet's ``out_indices``.
        layer (str): Key of ``LAYERS``.
    """

    def __init__(self, backbone: nn.Module, layer: str = 'feat5') -> None:
        super().__init__()
        if layer not in LAYERS:
            raise MultiSSLError(f'layer {layer}: choose one of {", ".join(LAYERS)}')
        self.backbone, self.layer, self.pooling = backbone, layer, ''
        self._stem: Optional[Tensor] = None
        resnet = (getattr(backbone, 'res_layers', None) == [f'layer{i}' for i in range(1, 5)] and
                  hasattr(backbone, 'maxpool'))
        if resnet:
            backbone.out_indices = (0, 1, 2, 3)
        elif layer != 'feat5':
            raise MultiSSLError(f'{layer} exists in ResNets with four stages only; of a '
                                f'{type(backbone).__name__} use feat5, its last output')
        if layer == 'feat1':
            backbone.maxpool.register_forward_pre_hook(self._keep_stem)

    def _keep_stem(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._stem = inputs[0]

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W), normalised -> features (N, D). Sets ``pooling``: how, in words."""
        outputs = self.backbone(images)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        feature = (self._stem if self.layer == 'feat1' else
                   outputs[-1] if self.layer == 'feat5' else outputs[int(self.layer[-1]) - 2])
        if feature.dim() not in (2, 4) or not feature.is_floating_point():
            raise MultiSSLError(f'{type(self.backbone).__name__}: its last output, {feature.dtype} '
                                f'of shape {tuple(feature.shape)}, is no (N, C, H, W) or (N, C)')
        if feature.dim() == 2:
            self.pooling = 'none, the backbone gives vectors'
            return feature
        size, grid, kernel, stride, padding = LAYERS[self.layer]
        shape = 'x'.join(map(str, feature.shape[-2:]))
        if tuple(feature.shape[-2:]) == (size, size):
            self.pooling = f'as specified, {shape} to {grid}x{grid}'
            return F.avg_pool2d(feature, kernel, stride, padding).flatten(1)
        self.pooling = (f'adaptive, {shape} to {grid}x{grid} (the specified pooling is for '
                        f'{size}x{size}, a ResNet at 224 px)')
        return F.adaptive_avg_pool2d(feature, grid).flatten(1)


def extract_features(model: PooledFeatures,
                     paths: Sequence[str],
                     image_size: int = 224,
                     normalisation: Normalisation = Normalisation(),  # noqa: B008  (immutable)
                     batch_size: int = 32,
                     workers: int = 2,
                     device: str = 'auto',
                     progress: bool = True) -> np.ndarray:
    """Features of pictures, by all processes of the default group together if there is one.

    Batches, not pictures, are dealt out to the processes: a picture is always computed in the same
    company, so the result does not depend on how many processes there are. (On a CPU the number of
    threads changes the last digits, and torchrun gives each process one unless OMP_NUM_THREADS is
    set.)

    Args:
        model (PooledFeatures): In eval mode, with its layer.
        paths (sequence[str]): N pictures.
        image_size (int): Side of the squares that the backbone sees, px.
        workers (int): Of the data loader, per process.
        device (str): ``auto`` is the GPU of this process's LOCAL_RANK, or the CPU.

    Returns:
        ndarray: (N, D), float32, in the order of ``paths``, the same in every process.
    """
    if device == 'auto':
        device = (f'cuda:{int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count()}'
                  if torch.cuda.is_available() else 'cpu')
    rank, world_size = get_dist_info()
    batches = [list(range(i, min(i + batch_size, len(paths))))
               for i in range(0, len(paths), batch_size)]
    own = batches[rank::world_size]
    loader = DataLoader(_Pictures(paths, image_size), batch_sampler=own, num_workers=workers,
                        pin_memory=device.startswith('cuda'), worker_init_fn=_one_thread)
    model = model.to(device)
    mean = torch.tensor(normalisation.mean, device=device).view(-1, 1, 1)
    std = torch.tensor(normalisation.std, device=device).view(-1, 1, 1)
    mine = []
    with torch.inference_mode():
        for images in _track(loader, len(own), f'features, {device}', progress and rank == 0):
            images = images.to(device, non_blocking=True)
            images = images if normalisation.to_rgb else images.flip(1)
            mine.append(model((images.float() - mean) / std).float().cpu().numpy())
    ordered: list[np.ndarray] = [np.empty(0)] * len(batches)
    for i, part in enumerate(all_gather_object(mine)):
        ordered[i::world_size] = part
    return np.concatenate(ordered)


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)


def _track(items: Iterable, total: int, what: str, progress: bool) -> Iterator:
    return iter(track(items, what, total, console=Console(stderr=True), disable=not progress))


# ---------------------------------------------------------------------- precision and SVMs

def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the monotone envelope of the precision-recall curve (VOC since 2010).

    Images with equal scores enter the curve together, so their order does not matter.

    Args:
        scores (ndarray): (N,), higher is surer.
        positive (ndarray): (N,), bool.

    Returns:
        float: 0..1; nan without a positive.
    """
    scores, positive = np.asarray(scores), np.asarray(positive, dtype=bool)
    if not positive.any():
        return float('nan')
    order = np.argsort(-scores, kind='stable')
    last_of_equals = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(positive[order])[last_of_equals]
    precision = hits / (np.flatnonzero(last_of_equals) + 1)
    # The best precision at this recall or any higher one.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(hits, prepend=0) * envelope) / hits[-1])


def normalise(features: np.ndarray) -> np.ndarray:
    """Rows (N, D) divided by their length, in float64."""
    features = np.asarray(features, dtype=np.float64)
    return features / (np.linalg.norm(features, axis=1, keepdims=True) + 1e-5)


def _svm(cost: float, seed: int) -> LinearSVC:
    return LinearSVC(C=cost, class_weight={1: 2, -1: 1}, penalty='l2', loss='squared_hinge',
                     dual=True, tol=1e-4, max_iter=2000, random_state=seed)


def _stuck(svm: LinearSVC) -> bool:
    return svm.n_iter_ >= svm.max_iter


def _cross_validate(key: tuple[int, int], x: np.ndarray, y: np.ndarray, cost: float,
                    seed: int) -> tuple[tuple[int, int], float, int]:
    """One class, one cost: its key again, mean AP over the folds, fits that did not converge."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ConvergenceWarning)
        result = cross_validate(_svm(cost, seed), x, y, cv=FOLDS, scoring='average_precision',
                                return_estimator=True, error_score='raise')
    return key, result['test_score'].mean(), sum(map(_stuck, result['estimator']))


def _fit_and_test(key: Any, x: np.ndarray, y: np.ndarray, rows: Optional[np.ndarray],
                  costs: Sequence[float], seed: int,
                  tests: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[Any, np.ndarray, int]:
    """Fits one class on some rows; its key again, AP (tests, costs), fits that did not converge.

    Each test is features (N, D) and labels (N,) in {-1, 0: left out, 1}.
    """
    if rows is not None:
        x, y = x[rows], y[rows]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ConvergenceWarning)
        svms = [_svm(cost, seed).fit(x, y) for cost in costs]
    weight = np.concatenate([svm.coef_ for svm in svms])  # (costs, D)
    bias = np.concatenate([svm.intercept_ for svm in svms])
    precisions = np.empty((len(tests), len(costs)))
    for t, (features, labels) in enumerate(tests):
        scores = features @ weight.T + bias
        counts = labels != 0
        for c in range(len(costs)):
            precisions[t, c] = average_precision(scores[counts, c], labels[counts] == 1)
    return key, precisions, sum(map(_stuck, svms))


def _parallel(function: Callable, tasks: list[tuple], jobs: int, what: str,
              progress: bool) -> Iterator:
    """Results in the order in which they are ready; the second argument of a task is features."""
    if sum(task[1].size for task in tasks) < SMALL:
        jobs = 1  # done before other processes have started
    pool = joblib.Parallel(n_jobs=jobs, return_as='generator_unordered')
    results = pool(joblib.delayed(function)(*task) for task in tasks)
    return _track(results, len(tasks), what, progress)


def evaluate_voc07(features_train: np.ndarray,
                   labels_train: np.ndarray,
                   features_test: np.ndarray,
                   labels_test: np.ndarray,
                   class_names: Sequence[str],
                   costs: Sequence[float] = COSTS,
                   jobs: int = -1,
                   seed: int = 0,
                   progress: bool = True) -> dict[str, Any]:
    """The full protocol on given features.

    With feat5 of a ResNet-50 every job takes about 1.5 GB. Only the best cost of a class is
    refitted, since no other is ever tested: 20 x 19 x 3 + 20 fits.

    Args:
        features_train (ndarray): (N, D), as the backbone gives them.
        labels_train (ndarray): (N, classes) in {-1, 0: difficult, 1}.
        features_test, labels_test: Likewise.
        class_names (sequence[str]): Of the columns.
        jobs (int): Processes that fit, if there is enough to do; -1 for one per core.
        seed (int): Of the order in which the solver visits images.

    Returns:
        dict: ``mAP``; per class ``AP``, ``cost``, ``cv_AP`` and numbers of positives; ``excluded``
        (class -> why it is not part of the mean); ``fits`` and ``not_converged``.

    Raises:
        MultiSSLError: If no class is left, or a feature is not finite.
    """
    used, excluded = _usable(class_names, labels_train, labels_test)
    x_train, x_test = _checked(features_train), _checked(features_test)
    y_train = np.where(labels_train == 1, 1, -1)  # difficult counts as negative here ...

    # The highest costs take longest: first in, so that no core waits at the end.
    tasks = sorted((((c, i), x_train, y_train[:, c], cost, seed)
                    for c in used for i, cost in enumerate(costs)), key=lambda task: -task[3])
    cv_precisions = np.zeros((len(class_names), len(costs)))
    not_converged = 0
    for key, precision, stuck in _parallel(_cross_validate, tasks, jobs, 'cross-validation',
                                           progress):
        cv_precisions[key] = precision
        not_converged += stuck
    best = cv_precisions.argmax(axis=1)

    tasks = [(c, x_train, y_train[:, c], None, [costs[best[c]]], seed,
              [(x_test, labels_test[:, c])])  # ... and is left out here
             for c in used]
    classes: dict[int, dict[str, Any]] = {}
    for c, precisions, stuck in _parallel(_fit_and_test, tasks, jobs, 'test', progress):
        classes[c] = dict(AP=100 * float(precisions[0, 0]), cost=costs[best[c]],
                          cv_AP=100 * float(cv_precisions[c, best[c]]),
                          positives_train=int((labels_train[:, c] == 1).sum()),
                          positives_test=int((labels_test[:, c] == 1).sum()))
        not_converged += stuck
    return dict(mAP=float(np.mean([classes[c]['AP'] for c in used])),
                classes={class_names[c]: classes[c] for c in used},
                excluded=excluded,
                costs=list(costs),
                fits=len(used) * (len(costs) * FOLDS + 1),
                not_converged=not_converged)


def evaluate_low_shot(features_train: np.ndarray,
                      labels_train: np.ndarray,
                      features_test: np.ndarray,
                      labels_test: np.ndarray,
                      class_names: Sequence[str],
                      shots: Sequence[int] = LOW_SHOTS,
                      samples: int = 5,
                      costs: Sequence[float] = COSTS,
                      jobs: int = -1,
                      seed: int = 0,
                      progress: bool = True) -> dict[str, Any]:
    """SVMs that learn from k positives per class.

    As in the paper's code a sample draws, for each class on its own, k positives and
    (classes - 1) x k negatives (all where there are fewer), never difficult ones, and one cost
    serves all classes. That code takes the cost that is best on test. Here it is the one with the
    best mAP on the trainval images that the class's sample did not draw; a class of which these are
    not of both kinds has no say.

    Args:
        shots (sequence[int]): Values of k. One for which a class has too few positives is left
            out and named in ``left_out``.
        samples (int): Independent draws per k.

    Returns:
        dict: ``shots``: k -> ``mean`` and ``std`` (population) of the mAP over draws, ``mAP`` and
        ``cost`` of each; ``left_out``: k -> why; ``not_converged``. Other arguments and errors as
        in :func:`evaluate_voc07`.
    """
    if min(shots, default=1) < 1:
        raise MultiSSLError(f'low-shot with {min(shots)} positives: give numbers from 1 on')
    used, _ = _usable(class_names, labels_train, labels_test)
    x_train, x_test = _checked(features_train), _checked(features_test)
    y_train = np.where(labels_train == 1, 1, -1)
    positives, negatives = ({c: np.flatnonzero(labels_train[:, c] == v) for c in used}
                            for v in (1, -1))
    tasks, left_out = [], {}
    for k in shots:
        rarest = min(used, key=lambda c: len(positives[c]))
        others = k * max(1, len(class_names) - 1)  # negatives per class
        speak = [c for c in used if len(positives[c]) > k and len(negatives[c]) > others]
        if len(positives[rarest]) < k or not speak:
            left_out[str(k)] = (
                f'{class_names[rarest]} has {len(positives[rarest])} positives in trainval'
                if len(positives[rarest]) < k else
                f'no class has both more than {k} positives and more than {others} negatives in '
                'trainval, so that some are left to choose the cost by')
            continue
        for s, c in itertools.product(range(samples), used):
            # Of the draw alone, so that neither jobs nor other values of k change it.
            rng = np.random.default_rng([seed, s, k, c])
            rows = np.concatenate([
                rng.choice(positives[c], k, replace=False),
                rng.choice(negatives[c], min(others, len(negatives[c])), replace=False)])
            held_out = labels_train[:, c].copy() if c in speak else np.zeros(len(x_train), int)
            held_out[rows] = 0
            tasks.append(((k, s, c), x_train, y_train[:, c], rows, costs, seed,
                          [(x_train, held_out), (x_test, labels_test[:, c])]))
    precisions = {}  # (k, sample, class) -> (2: held out, test; costs)
    not_converged = 0
    for key, precision, stuck in _parallel(_fit_and_test, tasks[::-1], jobs, 'low-shot', progress):
        precisions[key] = precision
        not_converged += stuck
    table = {}
    for k in (k for k in shots if str(k) not in left_out):
        chosen, means = [], []
        for s in range(samples):
            held_out, test = np.stack([precisions[k, s, c] for c in used], axis=1)
            best = int(np.nanmean(held_out, axis=0).argmax())  # test has no part in this
            chosen.append(costs[best])
            means.append(100 * float(test[:, best].mean()))
        table[str(k)] = dict(mean=float(np.mean(means)), std=float(np.std(means)), mAP=means,
                             cost=chosen)
    return dict(shots=table, left_out=left_out, not_converged=not_converged)


def _usable(names: Sequence[str], train: np.ndarray,
            test: np.ndarray) -> tuple[list[int], dict[str, str]]:
    """Columns of the classes that can be learned and tested; why others cannot."""
    excluded = {}
    for c, name in enumerate(names):
        fewest = min((train[:, c] == 1).sum(), (train[:, c] != 1).sum())
        if fewest < FOLDS:
            excluded[name] = (f'{(train[:, c] == 1).sum()} positives of {len(train)} images in '
                              f'trainval, {FOLDS} folds need {FOLDS} of each kind')
        elif not (test[:, c] == 1).any():
            excluded[name] = 'no positives in test'
    if len(excluded) == len(names):
        raise MultiSSLError('no class is left to evaluate: ' +
                            some((f'{k} ({v})' for k, v in excluded.items()), 3))
    return [c for c, name in enumerate(names) if name not in excluded], excluded


def _checked(features: np.ndarray) -> np.ndarray:
    if not np.isfinite(features).all():
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        raise MultiSSLError(f'features of {len(bad)} of {len(features)} images are not finite (the '
                            f'first is number {bad[0]}); has the pretraining diverged?')
    return normalise(features)


# ---------------------------------------------------------------------- all of it

def run_voc07_svm(config: Union[str, Config],
                  checkpoint: str,
                  data_root: str = 'data/VOCdevkit/VOC2007',
                  layer: str = 'feat5',
                  image_size: int = 224,
                  prefix: str = 'backbone.',
                  costs: Sequence[float] = COSTS,
                  low_shot: Sequence[int] = (),
                  low_shot_samples: int = 5,
                  batch_size: int = 32,
                  workers: int = 2,
                  device: str = 'auto',
                  jobs: int = -1,
                  seed: int = 0,
                  out: Optional[str] = None,
                  verbose: bool = True) -> Optional[dict[str, Any]]:
    """Evaluates the backbone of a checkpoint, prints a table and writes JSON.

    Args:
        config (str | Config): See :func:`build_backbone`; a file, or ``mmpretrain::folder/name``.
        checkpoint (str): File, URL, or ``random``.
        data_root (str): Folder ``VOC2007`` of VOCdevkit.
        layer (str): Key of ``LAYERS``.
        low_shot (sequence[int]): Values of k for :func:`evaluate_low_shot`; none for no low-shot.
        out (str | None): The JSON file, by default
            ``work_dirs/voc07_svm/<config>/<checkpoint>_<layer>.json``.
        verbose (bool): Print progress and tables.

    Other arguments as in :func:`extract_features` and :func:`evaluate_voc07`.

    Returns:
        dict | None: What is in the JSON file; None in processes other than the first, which does
        all the fitting.

    Raises:
        MultiSSLError: Names the file, image or key, and what to do.
    """
    start = time.time()
    cfg = load_config(config) if isinstance(config, str) else config
    name = config if isinstance(config, str) else cfg.filename or 'config'
    class_names, train, test = load_voc2007(data_root)
    normalisation = find_normalisation(cfg)
    model = PooledFeatures(build_backbone(cfg, checkpoint, prefix, seed), layer)
    features = extract_features(model, train.paths + test.paths, image_size, normalisation,
                                batch_size, workers, device, verbose)
    rank, world_size = get_dist_info()
    if rank != 0:
        return None  # and does not wait: the fits may take longer than a collective's timeout
    extracted = time.time()
    data = (features[:len(train.paths)], train.labels, features[len(train.paths):], test.labels,
            class_names)
    rest = dict(costs=costs, jobs=jobs, seed=seed, progress=verbose)
    result = evaluate_voc07(*data, **rest)
    if low_shot:
        result['low_shot'] = evaluate_low_shot(*data, low_shot, low_shot_samples, **rest)
    random = checkpoint.lower() in ('none', 'random')
    result = dict(
        config=name,
        checkpoint='random' if random else checkpoint,
        sha256=_sha256(checkpoint),
        layer=layer,
        dimensions=features.shape[1],
        features_sha256=hashlib.sha256(features.tobytes()).hexdigest(),
        pooling=model.pooling,
        image_size=image_size,
        normalisation=normalisation._asdict(),
        data_root=data_root,
        images=dict(trainval=len(train.paths), test=len(test.paths)),
        seed=seed,
        **result,
        processes=world_size,
        threads=torch.get_num_threads(),
        seconds=dict(features=extracted - start, svm=time.time() - extracted),
        versions=dict(versions(), sklearn=sklearn.__version__, joblib=joblib.__version__),
        git=git_state())
    if out is None:
        stems = [osp.splitext(osp.basename(p.replace('::', '/')))[0] for p in (name, checkpoint)]
        out = osp.join('work_dirs', 'voc07_svm', stems[0],
                       f'{"random" if random else stems[1]}_{layer}.json')
    write_atomically(out, json.dumps(result, indent=2, allow_nan=False) + '\n')
    if verbose:
        print_result(result)
        print(f'wrote {out}')
    return result


def print_result(result: Mapping[str, Any]) -> None:
    """Tables of what :func:`run_voc07_svm` returns."""
    console = Console()
    table = Table('class', 'AP', 'cost', 'AP in cross-validation', 'positives trainval / test',
                  title=f'VOC07 SVM, {result["layer"]} ({result["dimensions"]}-d) of '
                  f'{result["checkpoint"]}')
    for name, row in result['classes'].items():
        table.add_row(name, f'{row["AP"]:.2f}', f'{row["cost"]:.6g}', f'{row["cv_AP"]:.2f}',
                      f'{row["positives_train"]} / {row["positives_test"]}')
    table.add_row('mean', f'{result["mAP"]:.2f}', style='bold')
    console.print(table)
    said = [f'pooling: {result["pooling"]}',
            f'{result["not_converged"]} of {result["fits"]} fits stopped at 2000 iterations',
            *(f'{name} is not part of the mean: {why}'
              for name, why in result['excluded'].items())]
    low_shot = result.get('low_shot')
    if low_shot:
        table = Table('positives per class', 'mAP', 'std', 'costs', title='low-shot')
        for k, row in low_shot['shots'].items():
            table.add_row(k, f'{row["mean"]:.2f}', f'{row["std"]:.2f}',
                          ', '.join(f'{cost:.4g}' for cost in row['cost']))
        console.print(table)
        said += [f'low-shot, k = {k} left out: {why}' for k, why in low_shot['left_out'].items()]
    console.print('\n'.join(said), highlight=False, markup=False, soft_wrap=True)


def _sha256(path: str) -> Optional[str]:
    if not osp.isfile(path):
        return None
    digest = hashlib.sha256()
    with open(path, 'rb') as f:
        for block in iter(lambda: f.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()
