"""Are the simulated pictures too easy? Compares raw pixels with a network that learns to see.

    python tools/analysis_tools/demo_data_difficulty.py

If a linear SVM on raw pixels were nearly as good as a supervised ResNet-18, the data could not tell
good features from bad ones. Both learn which classes are in a picture from trainval of the same
VOC2007-like part and are tested on test by the average precision (AP) of the VOC07 protocol, in
percent; a picture in which a class is only there as difficult is left out when it is tested. The
exit status is 1 if the mean AP (mAP) of the ResNet-18 is not at least --gap points above that of
the SVM.
"""
import argparse
import os
import sys
from pathlib import Path
from typing import Dict, Sequence, Tuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table
from torch import Tensor, nn

from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation.voc07_svm import (
    VOCSplit,
    average_precision,
    evaluate_voc07,
    load_voc2007,
)
from multissl_mm.simulation.writers import PARTS, write_part
from multissl_mm.utils.cli import run_tool

WRITTEN_SIZE = 160  # side of a picture on disk in pixels, the simulator's default
RAW_SIZE = 32  # side in pixels of what the SVM sees
NETWORK_SIZE = 96  # side in pixels of what the ResNet-18 sees
SHIFT = 10  # pixels, the most by which a training picture is moved
COSTS = (0.01, 0.1, 1., 10.)


def read_pictures(paths: Sequence[str]) -> Tuple[np.ndarray, Tensor]:
    """Pictures for both learners.

    Returns:
        tuple: (N, 3072), float32, 0..1, for the SVM; (N, 3, 96, 96), uint8, for the network.
    """
    raw = np.empty((len(paths), RAW_SIZE * RAW_SIZE * 3), np.float32)
    large = torch.empty((len(paths), 3, NETWORK_SIZE, NETWORK_SIZE), dtype=torch.uint8)
    for i, path in enumerate(track(paths, 'pictures')):
        image = cv2.imread(path)
        if image is None:
            raise MultiSSLError(f'{path}: cannot be read as an image; remove the folder and run '
                                'this again')
        # Averages over areas: a plain bilinear sample would give the SVM noise.
        raw[i] = cv2.resize(image, (RAW_SIZE, RAW_SIZE),
                            interpolation=cv2.INTER_AREA).ravel() / 255
        large[i] = torch.from_numpy(cv2.resize(image, (NETWORK_SIZE, NETWORK_SIZE),
                                               interpolation=cv2.INTER_AREA)).permute(2, 0, 1)
    return raw, large


def normalised(images: Tensor) -> Tensor:
    """(N, 3, H, W), uint8 -> float, about -2..2, in the layout that is fastest on CPUs."""
    return ((images.float() - 116) / 58).contiguous(memory_format=torch.channels_last)


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirrors half of the pictures (N, 3, H, W) and moves each by up to ``SHIFT`` pixels."""
    padded = F.pad(images, (SHIFT, ) * 4, mode='reflect')
    moves = torch.randint(0, 2 * SHIFT + 1, (len(images), 2), generator=generator).tolist()
    flips = (torch.rand(len(images), generator=generator) < .5).tolist()
    moved = [p[:, y:y + NETWORK_SIZE, x:x + NETWORK_SIZE] for p, (y, x) in zip(padded, moves)]
    return torch.stack([p.flip(-1) if flip else p for p, flip in zip(moved, flips)])


def train_resnet18(images: Tensor, labels: np.ndarray, epochs: int, batch_size: int, lr: float,
                   seed: int, device: str) -> nn.Module:
    """A ResNet-18 from random weights, one logit per class.

    Args:
        images (Tensor): (N, 3, 96, 96), uint8.
        labels (ndarray): (N, classes) in {-1, 0: difficult, 1}. Difficult ones have no loss.
        lr (float): The highest of AdamW's one-cycle schedule.
    """
    torch.manual_seed(seed)
    model = torchvision.models.resnet18(num_classes=labels.shape[1]).to(
        device, memory_format=torch.channels_last)
    target = torch.from_numpy(labels == 1).float().to(device)
    known = torch.from_numpy(labels != 0).float().to(device)
    generator = torch.Generator().manual_seed(seed)
    steps = len(images) // batch_size  # the rest of an epoch is too small a batch for BN
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * steps)
    with Progress() as progress:
        task = progress.add_task('ResNet-18', total=epochs * steps)
        for epoch in range(epochs):
            total = 0.
            order = torch.randperm(len(images), generator=generator)
            for rows in order[:steps * batch_size].view(steps, batch_size):
                x = normalised(augmented(images[rows], generator).to(device))
                rows = rows.to(device)
                loss = F.binary_cross_entropy_with_logits(model(x), target[rows], known[rows],
                                                          reduction='sum') / known[rows].sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.item()
                progress.update(task, advance=1,
                                description=f'ResNet-18, epoch {epoch + 1} of {epochs}')
            progress.console.print(f'epoch {epoch + 1}: loss {total / steps:.3f}')
    return model


@torch.no_grad()
def resnet18_precisions(model: nn.Module, images: Tensor, labels: np.ndarray,
                        device: str) -> np.ndarray:
    """AP per class in percent, (classes,); arguments as in :func:`train_resnet18`."""
    model.eval()
    logits = [model(normalised(x.to(device))) + model(normalised(x.flip(-1).to(device)))
              for x in track(images.split(128), 'test')]
    scores = torch.cat(logits).cpu().numpy()
    known = labels != 0
    return np.array([100 * average_precision(scores[known[:, c], c], labels[known[:, c], c] == 1)
                     for c in range(labels.shape[1])])


def raw_pixel_precisions(train: np.ndarray, test: np.ndarray, labels: Tuple[VOCSplit, VOCSplit],
                         names: Sequence[str], jobs: int, seed: int) -> Dict[str, dict]:
    """AP and cost per class of linear SVMs on pixels (N, 3072)."""
    # The protocol divides by the length; without the mean picture, directions tell more.
    mean = train.mean(axis=0)
    return evaluate_voc07(train - mean, labels[0].labels, test - mean, labels[1].labels, names,
                          costs=COSTS, jobs=jobs, seed=seed)['classes']


def main() -> None:
    parser = argparse.ArgumentParser(description='Compares a linear SVM on raw 32x32 pixels with a '
                                     'supervised ResNet-18 on the simulated pictures.')
    parser.add_argument('out', type=Path, nargs='?', default=Path('data/demo_difficulty'),
                        help='folder for the pictures; reused if they are there')
    parser.add_argument('--count', type=int, default=4000, help='pictures; half are for testing')
    parser.add_argument('--epochs', type=int, default=5)
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--lr', type=float, default=2e-3)
    parser.add_argument('--gap', type=float, default=15., help='mAP points')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--workers', type=int, default=os.cpu_count())
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    args = parser.parse_args()
    if args.epochs < 1 or args.batch_size < 2 or args.count < 4 * args.batch_size:
        raise MultiSSLError('--epochs must be at least 1, --batch-size at least 2, and --count at '
                            'least 4 batches')

    write_part(args.out, 'voc', args.seed, args.count, WRITTEN_SIZE, args.workers)
    names, train, test = load_voc2007(str(args.out / PARTS['voc'][0]))
    (raw_train, large_train), (raw_test, large_test) = map(read_pictures, (train.paths, test.paths))

    raw = raw_pixel_precisions(raw_train, raw_test, (train, test), names, args.workers, args.seed)
    model = train_resnet18(large_train, train.labels, args.epochs, args.batch_size, args.lr,
                           args.seed, args.device)
    network = resnet18_precisions(model, large_test, test.labels, args.device)

    table = Table('class', 'raw pixels', 'cost', 'ResNet-18', 'gap', 'chance', 'positives test',
                  title=f'AP in percent, {len(train.paths)} pictures to learn from, '
                  f'{len(test.paths)} to test')
    rows = []
    for c, name in enumerate(names):
        if name not in raw:
            continue  # too rare to be learned or tested; only with a tiny --count
        known = test.labels[:, c] != 0
        positives = int((test.labels[:, c] == 1).sum())
        rows.append((raw[name]['AP'], network[c], 100 * positives / known.sum()))
        table.add_row(name, f'{rows[-1][0]:.1f}', f'{raw[name]["cost"]:g}', f'{rows[-1][1]:.1f}',
                      f'{rows[-1][1] - rows[-1][0]:.1f}', f'{rows[-1][2]:.1f}', str(positives))
    low, high, chance = np.mean(rows, axis=0)
    table.add_row('mean', f'{low:.1f}', '', f'{high:.1f}', f'{high - low:.1f}', f'{chance:.1f}', '',
                  style='bold')
    Console().print(table)
    enough = high - low >= args.gap
    print(f'the ResNet-18 is {high - low:.1f} mAP points above raw pixels, '
          f'{"at least" if enough else "less than"} the {args.gap:g} asked for')
    sys.exit(0 if enough else 1)


if __name__ == '__main__':
    run_tool(main)
