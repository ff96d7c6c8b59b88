# tiny: Everything that a plan can hold, small
# Rendered from lock d64fe34288e8; do not edit. Contexts: base, scripts, files-PLAN and store-SECTION.

# runtime python
FROM base AS runtime-python
RUN --network=none \
    --mount=type=bind,from=scripts,source=/install-apt,target=/dsvm/bin/install-apt \
    --mount=type=bind,from=scripts,source=/clamp-system,target=/dsvm/bin/clamp-system \
    --mount=type=bind,from=scripts,source=/pin-java-truststore,target=/dsvm/bin/pin-java-truststore \
    --mount=type=bind,from=scripts,source=/sort-gitconfig,target=/dsvm/bin/sort-gitconfig \
    --mount=type=bind,from=store-runtime-python,target=/dsvm/store/runtime-python \
    ["/dsvm/bin/install-apt", "--epoch", "1760000005", "runtime-python"]

# system packages
FROM base AS system
RUN --network=none \
    --mount=type=bind,from=scripts,source=/install-apt,target=/dsvm/bin/install-apt \
    --mount=type=bind,from=scripts,source=/clamp-system,target=/dsvm/bin/clamp-system \
    --mount=type=bind,from=scripts,source=/pin-java-truststore,target=/dsvm/bin/pin-java-truststore \
    --mount=type=bind,from=scripts,source=/sort-gitconfig,target=/dsvm/bin/sort-gitconfig \
    --mount=type=bind,from=store-system,target=/dsvm/store/system \
    ["/dsvm/bin/install-apt", "--epoch", "1760000006", "system"]
RUN --network=none \
    --mount=type=bind,from=scripts,source=/finish-system,target=/dsvm/bin/finish-system \
    --mount=type=bind,from=scripts,source=/clamp-system,target=/dsvm/bin/clamp-system \
    ["/dsvm/bin/finish-system", "--epoch", "1760000006"]

# build tools of editor
FROM runtime-python AS editor-build-apt
RUN --network=none \
    --mount=type=bind,from=scripts,source=/install-apt,target=/dsvm/bin/install-apt \
    --mount=type=bind,from=scripts,source=/clamp-system,target=/dsvm/bin/clamp-system \
    --mount=type=bind,from=scripts,source=/pin-java-truststore,target=/dsvm/bin/pin-java-truststore \
    --mount=type=bind,from=scripts,source=/sort-gitconfig,target=/dsvm/bin/sort-gitconfig \
    --mount=type=bind,from=store-editor-build-apt,target=/dsvm/store/editor-build-apt \
    ["/dsvm/bin/install-apt", "--epoch", "1760000001", "editor-build-apt"]

# editor
FROM editor-build-apt AS editor-url
RUN --network=none \
    --mount=type=bind,from=scripts,source=/install-url,target=/dsvm/bin/install-url \
    --mount=type=bind,from=store-editor-url,target=/dsvm/store/editor-url \
    ["/dsvm/bin/install-url", "--epoch", "499162500", "editor-url"]

# arrays; 1 of 3
FROM runtime-python AS env-base_0
RUN --network=none \
    --mount=type=bind,from=scripts,source=/install-pypi,target=/dsvm/bin/install-pypi \
    --mount=type=bind,from=scripts,source=/compile-wheels,target=/dsvm/bin/compile-wheels \
    --mount=type=bind,from=store-env-base_0,target=/dsvm/store/env-base_0 \
    --mount=type=bind,from=store-builder-pypi-pypi,target=/dsvm/store/builder-pypi-pypi \
    --mount=type=cache,id=dsvm-bytecode,target=/dsvm/cache,sharing=shared \
    ["/dsvm/bin/install-pypi", "--prefix", "/opt/envs/base", "--epoch", "499162500", "--python", "3.11", "env-base_0"]

# arrays; 2 of 3
FROM runtime-python AS env-base_8
RUN --network=none \
    --mount=type=bind,from=scripts,source=/install-pypi,target=/dsvm/bin/install-pypi \
    --mount=type=bind,from=scripts,source=/compile-wheels,target=/dsvm/bin/compile-wheels \
    --mount=type=bind,from=store-env-base_8,target=/dsvm/store/env-base_8 \
    --mount=type=bind,from=store-builder-pypi-pypi,target=/dsvm/store/builder-pypi-pypi \
    --mount=type=cache,id=dsvm-bytecode,target=/dsvm/cache,sharing=shared \
    ["/dsvm/bin/install-pypi", "--prefix", "/opt/envs/base", "--epoch", "499162500", "--python", "3.11", "--packages-only", "env-base_8"]

# arrays; 3 of 3
FROM runtime-python AS env-base_10
RUN --network=none \
    --mount=type=bind,from=scripts,source=/install-pypi,target=/dsvm/bin/install-pypi \
    --mount=type=bind,from=scripts,source=/compile-wheels,target=/dsvm/bin/compile-wheels \
    --mount=type=bind,from=store-env-base_10,target=/dsvm/store/env-base_10 \
    --mount=type=bind,from=store-builder-pypi-pypi,target=/dsvm/store/builder-pypi-pypi \
    --mount=type=cache,id=dsvm-bytecode,target=/dsvm/cache,sharing=shared \
    ["/dsvm/bin/install-pypi", "--prefix", "/opt/envs/base", "--epoch", "499162500", "--python", "3.11", "--packages-only", "env-base_10"]

# notebooks; 1 of 4
FROM runtime-python AS env-nets_0
RUN --network=none \
    --mount=type=bind,from=scripts,source=/install-pypi,target=/dsvm/bin/install-pypi \
    --mount=type=bind,from=scripts,source=/compile-wheels,target=/dsvm/bin/compile-wheels \
    --mount=type=bind,from=store-env-nets_0,target=/dsvm/store/env-nets_0 \
    --mount=type=bind,from=store-builder-pypi-pypi,target=/dsvm/store/builder-pypi-pypi \
    --mount=type=cache,id=dsvm-bytecode,target=/dsvm/cache,sharing=shared \
    ["/dsvm/bin/install-pypi", "--prefix", "/opt/envs/nets", "--epoch", "499162500", "--python", "3.11", "env-nets_0"]

# notebooks; 2 of 4
FROM runtime-python AS env-nets_8
RUN --network=none \
    --mount=type=bind,from=scripts,source=/install-pypi,target=/dsvm/bin/install-pypi \
    --mount=type=bind,from=scripts,source=/compile-wheels,target=/dsvm/bin/compile-wheels \
    --mount=type=bind,from=store-env-nets_8,target=/dsvm/store/env-nets_8 \
    --mount=type=bind,from=store-builder-pypi-pypi,target=/dsvm/store/builder-pypi-pypi \
    --mount=type=cache,id=dsvm-bytecode,target=/dsvm/cache,sharing=shared \
    ["/dsvm/bin/install-pypi", "--prefix", "/opt/envs/nets", "--epoch", "499162500", "--python", "3.11", "--packages-only", "env-nets_8"]

# notebooks; 3 of 4
FROM runtime-python AS env-nets_9
RUN --network=none \
    --mount=type=bind,from=scripts,source=/install-pypi,target=/dsvm/bin/install-pypi \
    --mount=type=bind,from=scripts,source=/compile-wheels,target=/dsvm/bin/compile-wheels \
    --mount=type=bind,from=store-env-nets_9,target=/dsvm/store/env-nets_9 \
    --mount=type=bind,from=store-builder-pypi-pypi,target=/dsvm/store/builder-pypi-pypi \
    --mount=type=cache,id=dsvm-bytecode,target=/dsvm/cache,sharing=shared \
    ["/dsvm/bin/install-pypi", "--prefix", "/opt/envs/nets", "--epoch", "499162500", "--python", "3.11", "--packages-only", "env-nets_9"]

# notebooks; 4 of 4
FROM runtime-python AS env-nets_11
RUN --network=none \
    --mount=type=bind,from=scripts,source=/install-pypi,target=/dsvm/bin/install-pypi \
    --mount=type=bind,from=scripts,source=/compile-wheels,target=/dsvm/bin/compile-wheels \
    --mount=type=bind,from=store-env-nets_11,target=/dsvm/store/env-nets_11 \
    --mount=type=bind,from=store-builder-pypi-pypi,target=/dsvm/store/builder-pypi-pypi \
    --mount=type=cache,id=dsvm-bytecode,target=/dsvm/cache,sharing=shared \
    ["/dsvm/bin/install-pypi", "--prefix", "/opt/envs/nets", "--epoch", "499162500", "--python", "3.11", "--packages-only", "env-nets_11"]

FROM system AS image
# Before the layers: a WORKDIR above them would have BuildKit put them together first, to make a folder there.
WORKDIR /home/ds
COPY --link --from=editor-url /out/ /
COPY --link --from=env-base_0 /out/ /
COPY --link --from=env-base_8 /out/ /
COPY --link --from=env-base_10 /out/ /
COPY --link --from=env-nets_0 /out/ /
COPY --link --from=env-nets_8 /out/ /
COPY --link --from=env-nets_9 /out/ /
COPY --link --from=env-nets_11 /out/ /
COPY --link --from=files-PLAN / /
ENV ARRAYS_HOME="C:\\temp \$HOME \"x\" `id`"
ENV JUPYTER_PATH="/usr/local/share/jupyter"
ENV LANG="C.UTF-8"
ENV PATH="/opt/envs/base/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENV SHELL="/bin/bash"
LABEL org.opencontainers.image.title="DSVM tiny"
LABEL org.opencontainers.image.description="Everything that a plan can hold, small"
LABEL org.opencontainers.image.created="2025-10-09T08:53:26Z"
LABEL org.dsvm.variant="tiny"
LABEL org.dsvm.accelerator="cpu"
LABEL org.dsvm.base="tiny-12 (bootstrap)"
LABEL org.dsvm.lock="d64fe34288e888c21cf7024863c495a8e6eedbfb59f5d0d20634bba8ea59fb35"
LABEL org.dsvm.plan="PLAN-DIGEST"
EXPOSE 8888
USER 1000:1000
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=6 CMD ["/usr/local/bin/dsvm-start", "--health"]
ENTRYPOINT ["/usr/bin/tini", "-g", "--", "/usr/local/bin/dsvm-start"]
CMD []
