"""A picture of what encoders tell apart: features of labelled images in two dimensions."""
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from ..apis import is_random, load_encoder
from ..errors import MultiSSLError
from ..evaluation.voc07 import PooledFeatures, extract_features, load_voc2007, normalise
from ..runtime import load_config
from ..utils.figures import save_figure
from ..utils.images import is_image
from ..utils.names import told_apart

#: Name of a panel -> points (N, 2), and what their two axes are.
Points = Dict[str, Tuple[np.ndarray, Tuple[str, str]]]
#: Names of the methods.
METHODS = dict(tsne='t-SNE', pca='PCA')
MARKERS = 'o^sDvP*X'  # with 10 colours, 80 classes can be told apart


def labelled_images(data: str, limit: int, classes: Optional[Sequence[str]] = None
                    ) -> Tuple[List[str], List[str]]:
    """Images of a folder of class folders, or of VOC2007's test split where they show one class.

    Args:
        data (str): The folder.
        limit (int): At most so many images, as evenly from the classes as they are in the data.
        classes (sequence[str], optional): Only these.

    Returns:
        tuple: Paths, and the names of their classes.

    Raises:
        MultiSSLError: If there are no such images, or too few to draw.
    """
    root = Path(data)
    if not root.is_dir():
        raise MultiSSLError(f'--data {data}: no such folder')
    if (root / 'ImageSets' / 'Main').is_dir():
        names, _, test = load_voc2007(data)
        # Neither another class nor a difficult one, which is labelled 0.
        single = [(path, names[int(row.argmax())]) for path, row in zip(test.paths, test.labels)
                  if (row == 1).sum() == 1 and (row == 0).sum() == 0]
    else:
        single = [(str(path), path.parent.name) for path in sorted(root.glob('*/*'))
                  if is_image(path)]
    known = sorted({name for _, name in single})
    unknown = set(classes or ()) - set(known)
    if unknown:
        raise MultiSSLError(f'--classes: {", ".join(sorted(unknown))} not in {data}; there are '
                            f'{", ".join(known) or "none"}')
    single = [(path, name) for path, name in single if not classes or name in classes]
    if len(single) < 4:
        raise MultiSSLError(f'--data {data}: {len(single)} images in folders of their classes '
                            '(data/CLASS/image.jpg), or in VOC2007\'s test split with one class, '
                            'are too few for a picture')
    single.sort(key=lambda item: (item[1], item[0]))
    count = min(limit, len(single))
    single = [single[i * len(single) // count] for i in range(count)]
    return [path for path, _ in single], [name for _, name in single]


def to_two_dimensions(features: np.ndarray, method: str, seed: int = 0
                      ) -> Tuple[np.ndarray, Tuple[str, str]]:
    """Features (N, D) -> points (N, 2), and what their two axes are: nothing, of t-SNE."""
    features = normalise(features)
    if method == 'pca':
        pca = PCA(2, random_state=seed)
        points = pca.fit_transform(features)
        first, second = (f'component {i + 1} ({100 * part:.0f} % of the variance)'
                         for i, part in enumerate(pca.explained_variance_ratio_))
        return points, (first, second)
    reduced = PCA(min(50, *features.shape), random_state=seed).fit_transform(features)
    # A perplexity is a number of neighbours: 30, or fewer where there are few images.
    tsne = TSNE(2, perplexity=min(30., (len(features) - 1) / 3), init='pca', random_state=seed)
    return tsne.fit_transform(reduced), ('', '')


def draw_feature_map(config: str, checkpoints: Sequence[str], data: str, out: Path,
                     method: str = 'tsne', classes: Optional[Sequence[str]] = None,
                     max_images: int = 1500, layer: str = 'feat5', image_size: int = 224,
                     prefix: str = 'backbone.', batch_size: int = 32, workers: int = 2,
                     seed: int = 0) -> Points:
    """Draws features of the VOC07 protocol, one panel per checkpoint.

    Args:
        config (str): That has the backbone.
        checkpoints (sequence[str]): Files, URLs, or ``random``.
        data (str): See :func:`labelled_images`; ``max_images`` is its ``limit``.
        out (Path): Picture to write.
        method (str): ``tsne`` or ``pca``.
        layer, image_size: See :mod:`multissl_mm.evaluation.voc07`.
        prefix (str): See :func:`multissl_mm.apis.load_encoder`.

    Returns:
        dict: What was drawn.
    """
    cfg: Config = load_config(config)
    paths, labels = labelled_images(data, max_images, classes)
    maps: Points = {}
    for checkpoint, name in _panel_names(checkpoints).items():
        encoder = load_encoder(cfg, checkpoint, prefix=prefix, seed=seed)
        features = extract_features(PooledFeatures(encoder, layer), paths, image_size, batch_size,
                                    workers)
        maps[name] = to_two_dimensions(features, method, seed)
    save_figure(draw(maps, labels, f'{METHODS[method]} of {layer}, {Path(config).stem}'), out)
    return maps


def _panel_names(checkpoints: Sequence[str]) -> Dict[str, str]:
    """Each checkpoint once, and a name that no other one has: two parts of its path, or all."""
    once = list(dict.fromkeys('random' if is_random(c) else str(c) for c in checkpoints))
    names = told_apart(['/'.join(Path(c).parts[-2:]) for c in once], once)
    return {c: 'random weights' if is_random(c) else name for c, name in zip(once, names)}


def draw(maps: Points, labels: Sequence[str], title: str) -> Figure:
    """One panel per checkpoint; a class has the same colour and marker in all of them."""
    columns = min(3, len(maps))
    rows = -(-len(maps) // columns)
    # Without pyplot, which would take a notebook's own way of showing figures.
    figure = Figure(figsize=(5 * columns + 1.5, 4.8 * rows + .4), dpi=130, layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False)
    names, known = sorted(set(labels)), np.array(labels)
    for axis, (name, (points, (x, y))) in zip(axes.flat, maps.items()):
        for i, label in enumerate(names):
            own = known == label
            axis.scatter(*points[own].T, s=18, alpha=.8, linewidths=0, label=label,
                         color=f'C{i % 10}', marker=MARKERS[i // 10 % len(MARKERS)])
        axis.set(title=name, xlabel=x, ylabel=y)
        axis.set_aspect('equal', adjustable='datalim')
        if x:
            axis.grid(alpha=.25)
        else:
            axis.set(xticks=[], yticks=[])
    for axis in list(axes.flat)[len(maps):]:
        axis.remove()
    axes[0, -1].legend(loc='upper left', bbox_to_anchor=(1.02, 1), borderaxespad=0, fontsize=8,
                       ncols=-(-len(names) // 24), title=f'{len(labels)} images')
    figure.suptitle(title)
    return figure
