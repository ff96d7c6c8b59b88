from .fetching import WRONG_SIZE_HINT as WRONG_SIZE_HINT
from .fetching import FetchSummary as FetchSummary
from .fetching import FetchView as FetchView
from .fetching import Want as Want
from .fetching import megabytes as megabytes
from .fetching import wrong_size as wrong_size
from .hashed import Hashed as Hashed
from .store import Store as Store
