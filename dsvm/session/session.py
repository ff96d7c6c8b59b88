"""One run of a command: what it works with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dsvm import ROOT
from dsvm.catalog import Catalog, load
from dsvm.ecosystems import Context
from dsvm.host import Engine, Host, claims, find_engine, scratch
from dsvm.session.caches import NO_CACHES, LayerCaches
from dsvm.session.views import Silent, Views
from dsvm.store import Store

Echo = Callable[[str], None]


@dataclass
class Session:
    """One run of DSVM: the catalog, the host, the store and the engine, each made when first needed.

    `echo` takes a line of what a command gives, `warn` a warning, `note` what takes a while; `views` show how a step
    goes on.
    """

    echo: Echo
    warn: Echo
    overlays: Sequence[Path] = ()
    offline: bool = False
    views: Views = field(default_factory=Silent)
    note: Echo = lambda line: None
    # in place of what the variant says
    gpus: Sequence[str] | None = None
    driver: str | None = None
    caches: LayerCaches = NO_CACHES
    warned: set[str] = field(default_factory=set)
    claimed: set[str] = field(default_factory=set)  # variants that this run works on
    asked: set[str] = field(default_factory=set)  # variants whose tools out of reach were asked for again

    @cached_property
    def catalog(self) -> Catalog:
        return load(self.overlays, strict=False)

    @cached_property
    def host(self) -> Host:
        return Host.detect()

    @cached_property
    def store(self) -> Store:
        return Store()

    @cached_property
    def engine(self) -> Engine:
        return find_engine()

    @contextmanager
    def context(self, variant: str) -> Iterator[Context]:
        """What ecosystems work with for `variant`; its work folder is gone afterwards."""
        one = self.catalog.variant(variant)
        with scratch("lock") as work:
            yield Context(
                base=self.catalog.bases[one.base],
                host=self.host,
                store=self.store,
                work=work,
                accelerator=one.accelerator,
                indexes=self.catalog.indexes,
                repositories=self.catalog.repositories,
                echo=lambda line: self.echo(f"lock: {line}"),
                warn=self.warn,
            )

    @contextmanager
    def working_on(self, variant: str) -> Iterator[None]:
        """Work on `variant` alone, and on a store that nobody cleans meanwhile; waits for another run."""
        self.catalog.variant(variant)
        if variant in self.claimed:
            yield
            return
        with self.using_store(), claims.of_variant(claims.folder(), variant, self.echo):
            self.claimed.add(variant)
            try:
                yield
            finally:
                self.claimed.discard(variant)

    @contextmanager
    def using_store(self) -> Iterator[None]:
        """Use the store while nobody cleans it."""
        with ExitStack() as held:
            with self.store.faults(self.store.root):
                with claims.to_clean(self.store.root) as alone:
                    if alone:
                        self.store.sweep()
                held.enter_context(claims.of_store(self.store.root))
            yield

    def folder(self, variant: str) -> Path:
        """Where everything that is made for `variant` lies."""
        return ROOT / "build" / variant
