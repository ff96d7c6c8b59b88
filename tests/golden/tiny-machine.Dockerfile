# tiny-machine as a virtual machine: what it has beside its container image, which is the context 'image'.
# Rendered from lock ea4c617dbc65; do not edit. Contexts: base, image, scripts, files-PLAN and store-SECTION.

# runtime python
FROM base AS runtime-python
RUN --network=none \
    --mount=type=bind,from=scripts,source=/install-apt,target=/dsvm/bin/install-apt \
    --mount=type=bind,from=scripts,source=/clamp-system,target=/dsvm/bin/clamp-system \
    --mount=type=bind,from=scripts,source=/pin-java-truststore,target=/dsvm/bin/pin-java-truststore \
    --mount=type=bind,from=scripts,source=/sort-gitconfig,target=/dsvm/bin/sort-gitconfig \
    --mount=type=bind,from=store-runtime-python,target=/dsvm/store/runtime-python \
    ["/dsvm/bin/install-apt", "--epoch", "1760000005", "runtime-python"]

# hub; 1 of 2
FROM runtime-python AS env-hub_0
RUN --network=none \
    --mount=type=bind,from=scripts,source=/install-pypi,target=/dsvm/bin/install-pypi \
    --mount=type=bind,from=scripts,source=/compile-wheels,target=/dsvm/bin/compile-wheels \
    --mount=type=bind,from=store-env-hub_0,target=/dsvm/store/env-hub_0 \
    --mount=type=bind,from=store-builder-pypi-pypi,target=/dsvm/store/builder-pypi-pypi \
    --mount=type=cache,id=dsvm-bytecode,target=/dsvm/cache,sharing=shared \
    ["/dsvm/bin/install-pypi", "--prefix", "/opt/envs/hub", "--epoch", "499162500", "--python", "3.11", "env-hub_0"]

# hub; 2 of 2
FROM runtime-python AS env-hub_11
RUN --network=none \
    --mount=type=bind,from=scripts,source=/install-pypi,target=/dsvm/bin/install-pypi \
    --mount=type=bind,from=scripts,source=/compile-wheels,target=/dsvm/bin/compile-wheels \
    --mount=type=bind,from=store-env-hub_11,target=/dsvm/store/env-hub_11 \
    --mount=type=bind,from=store-builder-pypi-pypi,target=/dsvm/store/builder-pypi-pypi \
    --mount=type=cache,id=dsvm-bytecode,target=/dsvm/cache,sharing=shared \
    ["/dsvm/bin/install-pypi", "--prefix", "/opt/envs/hub", "--epoch", "499162500", "--python", "3.11", "--packages-only", "env-hub_11"]

# what only a machine needs
FROM image AS machine
USER root
RUN --network=none \
    --mount=type=bind,from=scripts,source=/install-apt,target=/dsvm/bin/install-apt \
    --mount=type=bind,from=scripts,source=/clamp-system,target=/dsvm/bin/clamp-system \
    --mount=type=bind,from=scripts,source=/pin-java-truststore,target=/dsvm/bin/pin-java-truststore \
    --mount=type=bind,from=scripts,source=/sort-gitconfig,target=/dsvm/bin/sort-gitconfig \
    --mount=type=bind,from=store-machine,target=/dsvm/store/machine \
    ["/dsvm/bin/install-apt", "--epoch", "1760000008", "machine"]

FROM machine AS root
COPY --from=env-hub_0 /out/ /
COPY --from=env-hub_11 /out/ /
COPY --from=files-PLAN / /
RUN --network=none \
    --mount=type=bind,from=scripts,source=/finish-machine,target=/dsvm/bin/finish-machine \
    --mount=type=bind,from=scripts,source=/clamp-system,target=/dsvm/bin/clamp-system \
    ["/dsvm/bin/finish-machine", "--epoch", "1760000008"]
