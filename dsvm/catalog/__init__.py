"""YAML manifests -> Catalog: strict keys, every fault of every file at once, each with file:line."""

from dsvm.catalog.checking import suits
from dsvm.catalog.loading import known_names, load
from dsvm.catalog.manifests import MANIFESTS, Catalog
from dsvm.catalog.models import kinds, schemas
from dsvm.catalog.reading import read_yaml
from dsvm.catalog.validating import load_model
from dsvm.catalog.words import near

__all__ = [
    "MANIFESTS",
    "Catalog",
    "kinds",
    "known_names",
    "load",
    "load_model",
    "near",
    "read_yaml",
    "schemas",
    "suits",
]
