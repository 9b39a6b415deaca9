"""Are the simulated pictures too easy? Raw pixels against a network that learns to see."""
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table
from torch import Tensor, nn

from ..errors import MultiSSLError
from ..evaluation.voc07 import VOCSplit, average_precision, evaluate_voc07, load_voc2007
from ..simulation.writers import PARTS, write_part

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
    import torchvision
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


class Difficulty(NamedTuple):
    """AP in percent by class, (C,): of raw pixels, of the network, and of guessing."""
    classes: List[str]
    raw: np.ndarray
    network: np.ndarray
    chance: np.ndarray

    @property
    def gap(self) -> float:
        """By how many mAP points the network is better."""
        return float(self.network.mean() - self.raw.mean())


def measure_difficulty(out: Path, count: int = 4000, epochs: int = 5, batch_size: int = 32,
                       lr: float = 2e-3, seed: int = 0, workers: int = 1, device: str = 'cpu',
                       console: Optional[Console] = None) -> Difficulty:
    """Compares a linear SVM on raw pixels with a supervised ResNet-18 on simulated pictures.

    If the SVM were nearly as good, the data could not tell good features from bad ones. Both learn
    which classes are in a picture from trainval of the same VOC2007-like part and are tested on
    test by the average precision (AP) of the VOC07 protocol; a picture in which a class is only
    there as difficult is left out when it is tested.

    Args:
        out (Path): Folder for the pictures; reused if they are there.
        count (int): Pictures; half are for testing.
        lr (float): The highest of AdamW's one-cycle schedule.
        workers (int): Processes that draw pictures and fit SVMs.
        console (Console, optional): Where the table is printed.

    Raises:
        MultiSSLError: If there are too few pictures for a batch, or the folder has others.
    """
    if epochs < 1 or batch_size < 2 or count < 4 * batch_size:
        raise MultiSSLError('--epochs must be at least 1, --batch-size at least 2, and --count at '
                            'least 4 batches')
    write_part(out, 'voc', seed, count, WRITTEN_SIZE, workers)
    names, train, test = load_voc2007(str(out / PARTS['voc'][0]))
    (raw_train, large_train), (raw_test, large_test) = map(read_pictures, (train.paths, test.paths))

    raw = raw_pixel_precisions(raw_train, raw_test, (train, test), names, workers, seed)
    model = train_resnet18(large_train, train.labels, epochs, batch_size, lr, seed, device)
    network = resnet18_precisions(model, large_test, test.labels, device)
    # Others are too rare to be learned or tested; only with few pictures.
    kept = [c for c, name in enumerate(names) if name in raw]
    positives, known = (test.labels == 1).sum(0), (test.labels != 0).sum(0)
    found = Difficulty([names[c] for c in kept], np.array([raw[names[c]]['AP'] for c in kept]),
                       network[kept], 100 * positives[kept] / known[kept])
    table = Table('class', 'raw pixels', 'cost', 'ResNet-18', 'gap', 'chance', 'positives test',
                  title=f'AP in percent, {len(train.paths)} pictures to learn from, '
                  f'{len(test.paths)} to test')
    for c, low, high, chance in zip(kept, *found[1:]):
        table.add_row(names[c], f'{low:.1f}', f'{raw[names[c]]["cost"]:g}', f'{high:.1f}',
                      f'{high - low:.1f}', f'{chance:.1f}', str(positives[c]))
    table.add_row('mean', f'{found.raw.mean():.1f}', '', f'{found.network.mean():.1f}',
                  f'{found.gap:.1f}', f'{found.chance.mean():.1f}', '', style='bold')
    (console or Console()).print(table)
    return found
