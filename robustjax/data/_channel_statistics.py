"""Means and deviations of the channels of known data sets, for images in [0, 1].

Over all pixels of the training images. Much public code for CIFAR divides by (0.2023,
0.1994, 0.2010) instead, the mean of the single images' deviations.
"""

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
"""Of red, green and blue."""

CIFAR10_STD = (0.2470, 0.2435, 0.2616)
"""Of red, green and blue."""

CIFAR100_MEAN = (0.5071, 0.4865, 0.4409)
"""Of red, green and blue."""

CIFAR100_STD = (0.2673, 0.2564, 0.2762)
"""Of red, green and blue."""

MNIST_MEAN = (0.1307,)
"""Of the one channel."""

MNIST_STD = (0.3081,)
"""Of the one channel."""
