"""A picture of what a backbone tells apart: features of labelled images in two dimensions.

    python tools/analysis_tools/feature_map.py configs/demo/il_mocov2_densecl.py random \
        work_dirs/demo/il_mocov2_densecl/final.pth --data data/demo/VOCdevkit/VOC2007

One panel per checkpoint of the same config; "random" is the backbone before any training. Features
are those of the VOC07 protocol: the last layer, pooled, divided by its length. PCA keeps distances
as well as two dimensions can and says how much of the variance that is. t-SNE (after a PCA to 50
dimensions) keeps neighbours only: sizes of clusters and distances between them mean nothing.
"""
import argparse
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import matplotlib.pyplot as plt
import numpy as np
from curves import save
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation.voc07_svm import (
    LAYERS,
    PooledFeatures,
    build_backbone,
    extract_features,
    find_normalisation,
    load_voc2007,
    normalise,
)
from multissl_mm.runtime import load_config
from multissl_mm.utils.cli import run_tool

SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.webp'}
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
                  if path.suffix.lower() in SUFFIXES]
    there = sorted({name for _, name in single})
    unknown = set(classes or ()) - set(there)
    if unknown:
        raise MultiSSLError(f'--classes: {", ".join(sorted(unknown))} not in {data}; there are '
                            f'{", ".join(there) or "none"}')
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


def draw(maps: Dict[str, Tuple[np.ndarray, Tuple[str, str]]], labels: Sequence[str],
         title: str) -> plt.Figure:
    """One panel per checkpoint; a class has the same colour and marker in all of them."""
    columns = min(3, len(maps))
    rows = -(-len(maps) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(5 * columns + 1.5, 4.8 * rows + .4),
                                dpi=130, squeeze=False, layout='constrained')
    names, known = sorted(set(labels)), np.array(labels)
    for axis, (name, (points, (x, y))) in zip(axes.flat, maps.items()):
        for i, label in enumerate(names):
            mine = known == label
            axis.scatter(*points[mine].T, s=18, alpha=.8, linewidths=0, label=label,
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


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='that has the backbone')
    parser.add_argument('checkpoints', nargs='+', metavar='CHECKPOINT',
                        help='file, URL, or "random"')
    parser.add_argument('--data', required=True,
                        help='folder of class folders, or VOC2007')
    parser.add_argument('--classes', nargs='+', help='only these')
    parser.add_argument('--max-images', type=int, default=1500)
    parser.add_argument('--method', choices=['tsne', 'pca'], default='tsne')
    parser.add_argument('--layer', choices=list(LAYERS), default='feat5')
    parser.add_argument('--image-size', type=int, default=224, help='pixels')
    parser.add_argument('--prefix', default='backbone.', help='of the keys in the checkpoint')
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, default=Path('feature_map.png'), help='picture')
    args = parser.parse_args(argv)

    cfg = load_config(args.config)
    paths, labels = labelled_images(args.data, args.max_images, args.classes)
    maps = {}
    for checkpoint in dict.fromkeys(args.checkpoints):
        model = PooledFeatures(build_backbone(cfg, checkpoint, args.prefix, args.seed), args.layer)
        features = extract_features(model, paths, args.image_size, find_normalisation(cfg),
                                    args.batch_size, args.workers)
        random = checkpoint.lower() in ('none', 'random')
        parts = Path(checkpoint).parts[-2:]
        maps['random weights' if random else '/'.join(parts)] = to_two_dimensions(
            features, args.method, args.seed)
    method = dict(tsne='t-SNE', pca='PCA')[args.method]
    save(draw(maps, labels, f'{method} of {args.layer}, {Path(args.config).stem}'), args.out)


if __name__ == '__main__':
    run_tool(main)
