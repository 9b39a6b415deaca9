"""The 5-convolution encoder shared by both ears, and the pretext tasks A, B and C (section 3.1).

Temperatures, the sizes of the video branches and the Huber delta are this project's choices, since
the paper leaves them open; 0.07 and 128-d for task B are those of its reference on audio-visual
alignment, the hidden layer of 64 of task C is the paper's.
"""
channels = (64, 128, 256, 512, 512)
backbone = dict(type='multissl_mm.BinauralEncoder', channels=channels)
width = 2 * channels[-1]  # both ears
motion = dict(type='multissl_mm.PanoramaEncoder', in_channels=2 * 8)  # flow of 8 frames, x and y
masked = dict(type='multissl_mm.PanoramaEncoder', in_channels=3 * 8)  # RGB of 8 frames
a = dict(name='a', type='multissl_mm.SpatialAlignmentTask', in_channels=width, video=motion)
b = dict(name='b', type='multissl_mm.ForegroundAlignmentTask', in_channels=width, video=motion,
         temperature=0.07)
b_mask = dict(b, name='b', view='foreground', video=masked)
c = dict(name='c', type='multissl_mm.TemporalGapTask', in_channels=width, hid_channels=64)
