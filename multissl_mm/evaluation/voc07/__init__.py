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
the two halves, :func:`evaluate_low_shot` for SVMs that learn from a few positives.
"""
from .data import VOCSplit, load_image, load_voc2007
from .features import LAYERS, PooledFeatures, extract_features, join_processes
from .low_shot import LOW_SHOTS, evaluate_low_shot
from .report import print_result, run_voc07_svm
from .svm import COSTS, SOLVERS, average_precision, evaluate_voc07, normalise

__all__ = ['COSTS', 'LAYERS', 'LOW_SHOTS', 'PooledFeatures', 'SOLVERS', 'VOCSplit',
           'average_precision', 'evaluate_low_shot', 'evaluate_voc07', 'extract_features',
           'join_processes', 'load_image', 'load_voc2007', 'normalise', 'print_result',
           'run_voc07_svm']
