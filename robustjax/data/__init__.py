"""Data sets as arrays with a stable index."""

from robustjax.data.array_files import load_npz as load_npz
from robustjax.data.array_files import save_npz as save_npz
from robustjax.data.augmentation import color_jitter as color_jitter
from robustjax.data.augmentation import random_flip as random_flip
from robustjax.data.augmentation import random_grayscale as random_grayscale
from robustjax.data.augmentation import random_resized_crop as random_resized_crop
from robustjax.data.augmentation import simclr_augmentation as simclr_augmentation
from robustjax.data.dataset import Dataset as Dataset
from robustjax.data.dataset import check_clean_labels as check_clean_labels
from robustjax.data.dataset import join as join
from robustjax.data.dataset import make_dataset as make_dataset
from robustjax.data.dataset import rows_of as rows_of
from robustjax.data.dataset import take as take
from robustjax.data.digits import load_digits as load_digits
from robustjax.data.feature_extraction import extract_features as extract_features
from robustjax.data.image_folder import load_image_folder as load_image_folder
from robustjax.data.label_files import parse_labels as parse_labels
from robustjax.data.label_files import read_csv as read_csv
from robustjax.data.label_files import read_labels as read_labels
from robustjax.data.load import load as load
from robustjax.data.standardize import standardize as standardize
from robustjax.data.tfds_source import load_tfds as load_tfds
