"""Pages in a browser on which people look at examples and label them."""

from robustjax.pages._batch import Batch as Batch
from robustjax.pages._batch import Card as Card
from robustjax.pages._batch import Neighbor as Neighbor
from robustjax.pages._builders import issues_batch as issues_batch
from robustjax.pages._builders import questions_batch as questions_batch
from robustjax.pages._media import Media as Media
from robustjax.pages._media import dataset_media as dataset_media
from robustjax.pages._neighbors import nearest_labeled as nearest_labeled
from robustjax.pages._page import remove_page as remove_page
from robustjax.pages._page import write_page as write_page
from robustjax.pages._pictures import picture_of as picture_of
from robustjax.pages._pictures import picture_of_file as picture_of_file
