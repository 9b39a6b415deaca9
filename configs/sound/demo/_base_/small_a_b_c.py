"""A narrow encoder (0.4 M parameters) and the pretext tasks A, B and C."""
_base_ = '../../_base_/binaural_a_b_c.py'

channels = (16, 32, 64, 128, 128)
width = 2 * channels[-1]
backbone = dict(channels=channels)
a = dict(in_channels=width, dropout=0.3)
b = dict(in_channels=width)
b_mask = dict(in_channels=width)
c = dict(in_channels=width)
