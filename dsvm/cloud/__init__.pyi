from .target import FORMATS as FORMATS
from .target import PublishOptions as PublishOptions
from .target import build as build
from .target import disk_format as disk_format
from .target import format_of_cloud as format_of_cloud
from .target import prepare as prepare
from .target import publish as publish
