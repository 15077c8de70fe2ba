"""Data sets as arrays with a stable index."""

from robustjax.data._array_files import array_names as array_names
from robustjax.data._array_files import load_npz as load_npz
from robustjax.data._array_files import read_arrays as read_arrays
from robustjax.data._array_files import save_npz as save_npz
from robustjax.data._array_files import without_prefix as without_prefix
from robustjax.data._bias_attributes import read_bias as read_bias
from robustjax.data._biased import BiasedDataset as BiasedDataset
from robustjax.data._biased import check_conflicting as check_conflicting
from robustjax.data._biased import make_biased as make_biased
from robustjax.data._biased import swap_roles as swap_roles
from robustjax.data._biased import take_biased as take_biased
from robustjax.data._biased_benchmarks import COLOR_STYLES as COLOR_STYLES
from robustjax.data._biased_benchmarks import colored_mnist as colored_mnist
from robustjax.data._biased_benchmarks import corrupted_cifar10 as corrupted_cifar10
from robustjax.data._biased_folder import BIASED_SPLITS as BIASED_SPLITS
from robustjax.data._biased_folder import load_biased_folder as load_biased_folder
from robustjax.data._channel_statistics import CIFAR10_MEAN as CIFAR10_MEAN
from robustjax.data._channel_statistics import CIFAR10_STD as CIFAR10_STD
from robustjax.data._channel_statistics import CIFAR100_MEAN as CIFAR100_MEAN
from robustjax.data._channel_statistics import CIFAR100_STD as CIFAR100_STD
from robustjax.data._channel_statistics import MNIST_MEAN as MNIST_MEAN
from robustjax.data._channel_statistics import MNIST_STD as MNIST_STD
from robustjax.data._class_overlap import (
    check_no_class_overlap as check_no_class_overlap,
)
from robustjax.data._composed import ComposedSet as ComposedSet
from robustjax.data._composed import compose_digits as compose_digits
from robustjax.data._cub_cars import load_cars as load_cars
from robustjax.data._cub_cars import load_cub200 as load_cub200
from robustjax.data._dataset import Dataset as Dataset
from robustjax.data._dataset import check_clean_labels as check_clean_labels
from robustjax.data._dataset import join as join
from robustjax.data._dataset import make_dataset as make_dataset
from robustjax.data._dataset import rows_of as rows_of
from robustjax.data._dataset import take as take
from robustjax.data._digits import load_digits as load_digits
from robustjax.data._feature_extraction import extract_features as extract_features
from robustjax.data._file_rows import FileRows as FileRows
from robustjax.data._file_rows import open_rows as open_rows
from robustjax.data._halueval import HaluEval as HaluEval
from robustjax.data._halueval import HaluEvalJoin as HaluEvalJoin
from robustjax.data._halueval import join_halueval as join_halueval
from robustjax.data._halueval import load_halueval as load_halueval
from robustjax.data._halueval import nested_hallucinations as nested_hallucinations
from robustjax.data._image_folder import load_image_folder as load_image_folder
from robustjax.data._image_shards import write_image_shards as write_image_shards
from robustjax.data._instruction_layouts import (
    INSTRUCTION_LAYOUTS as INSTRUCTION_LAYOUTS,
)
from robustjax.data._instruction_records import Record as Record
from robustjax.data._instructions import Finding as Finding
from robustjax.data._instructions import Instructions as Instructions
from robustjax.data._instructions import load_instructions as load_instructions
from robustjax.data._label_files import parse_labels as parse_labels
from robustjax.data._label_files import read_csv as read_csv
from robustjax.data._label_files import read_labels as read_labels
from robustjax.data._label_files import read_numbered_csv as read_numbered_csv
from robustjax.data._load import load as load
from robustjax.data._located import LocatedDataset as LocatedDataset
from robustjax.data._located import load_located_npz as load_located_npz
from robustjax.data._located import make_located as make_located
from robustjax.data._located import random_crop_with_box as random_crop_with_box
from robustjax.data._located import resize_located as resize_located
from robustjax.data._located import save_located_npz as save_located_npz
from robustjax.data._located import take_located as take_located
from robustjax.data._match_images import check_ood_images as check_ood_images
from robustjax.data._match_images import match_images as match_images
from robustjax.data._mixup import Mixed as Mixed
from robustjax.data._mixup import mixup as mixup
from robustjax.data._names import check_text as check_text
from robustjax.data._normalize import normalize as normalize
from robustjax.data._ood import held_out_classes as held_out_classes
from robustjax.data._ood import mix_ood as mix_ood
from robustjax.data._ood import textured_crops as textured_crops
from robustjax.data._photographs import photograph_crops as photograph_crops
from robustjax.data._picture_tables import load_picture_table as load_picture_table
from robustjax.data._shards import load_shards as load_shards
from robustjax.data._shards import write_shards as write_shards
from robustjax.data._standardize import standardize as standardize
from robustjax.data._table_rows import TableRows as TableRows
from robustjax.data._table_rows import open_table_rows as open_table_rows
from robustjax.data._tables import load_table as load_table
from robustjax.data._tables import read_texts as read_texts
from robustjax.data._tables import unlabeled_ids as unlabeled_ids
from robustjax.data._text_embeddings import Embed as Embed
from robustjax.data._text_embeddings import embed_texts as embed_texts
from robustjax.data._text_embeddings import tfidf_embeddings as tfidf_embeddings
from robustjax.data._text_tables import load_text_table as load_text_table
from robustjax.data._tfds_source import load_tfds as load_tfds
from robustjax.data._unlabeled_images import image_files as image_files
from robustjax.data._unlabeled_images import (
    load_unlabeled_images as load_unlabeled_images,
)
from robustjax.data.augmentation import auto_augment as auto_augment
from robustjax.data.augmentation import color_jitter as color_jitter
from robustjax.data.augmentation import compose as compose
from robustjax.data.augmentation import cutout as cutout
from robustjax.data.augmentation import rand_augment as rand_augment
from robustjax.data.augmentation import random_crop as random_crop
from robustjax.data.augmentation import random_flip as random_flip
from robustjax.data.augmentation import random_grayscale as random_grayscale
from robustjax.data.augmentation import random_resized_crop as random_resized_crop
from robustjax.data.augmentation import simclr_augmentation as simclr_augmentation
from robustjax.data.augmentation import standard_augmentation as standard_augmentation
from robustjax.data.augmentation import strong_augmentation as strong_augmentation
