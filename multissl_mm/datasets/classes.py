"""What the streets of this project are about; the one list of it."""

#: Classes of sounding objects, as the paper's predecessor has them; label 0 is nothing, and the
#: label of a class is its place here + 1.
CLASSES = ('bus', 'car', 'tram', 'motorcycle', 'truck')
