"""Which microphones of OmniAudio are a pair of ears."""

#: Tracks (left ear, right ear) of the pairs in their order k = 0 to 3: front, right, back, left.
#: Pair k is the head turned 90 k degrees to the right.
EAR_PAIRS = ((3, 8), (1, 6), (2, 5), (4, 7))
PAIR_NAMES = ('front', 'right', 'back', 'left')
