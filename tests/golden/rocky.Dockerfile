# rocky-system: What dnf brings to Rocky Linux
# Rendered from lock LOCK; do not edit. Contexts: base, scripts, files-PLAN and store-SECTION.

# system packages
FROM base AS system
RUN --network=none \
    --mount=type=bind,from=scripts,source=/install-dnf,target=/dsvm/bin/install-dnf \
    --mount=type=bind,from=scripts,source=/clamp-system,target=/dsvm/bin/clamp-system \
    --mount=type=bind,from=scripts,source=/pin-rpmdb,target=/dsvm/bin/pin-rpmdb \
    --mount=type=bind,from=store-system,target=/dsvm/store/system \
    ["/dsvm/bin/install-dnf", "--epoch", "EPOCH-DIGEST", "system"]
RUN --network=none \
    --mount=type=bind,from=scripts,source=/finish-system,target=/dsvm/bin/finish-system \
    --mount=type=bind,from=scripts,source=/clamp-system,target=/dsvm/bin/clamp-system \
    ["/dsvm/bin/finish-system", "--epoch", "EPOCH-DIGEST"]

FROM system AS image
# Before the layers: a WORKDIR above them would have BuildKit put them together first, to make a folder there.
WORKDIR /home/ds
COPY --link --from=files-PLAN / /
ENV LANG="en_US.UTF-8"
ENV PATH="/opt/envs/base/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENV R_ENVIRON="/etc/R/Renviron.site"
ENV R_PROFILE="/etc/R/dsvm.R"
ENV SHELL="/bin/bash"
LABEL org.opencontainers.image.title="DSVM rocky-system"
LABEL org.opencontainers.image.description="What dnf brings to Rocky Linux"
LABEL org.opencontainers.image.created="CREATED"
LABEL org.dsvm.variant="rocky-system"
LABEL org.dsvm.accelerator="cpu"
LABEL org.dsvm.base="rocky-9 (bootstrap)"
LABEL org.dsvm.lock="LOCK-DIGEST"
LABEL org.dsvm.plan="PLAN-DIGEST"
USER 1000:1000
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=6 CMD ["/usr/local/bin/dsvm-start", "--health"]
ENTRYPOINT ["/usr/bin/tini", "-g", "--", "/usr/local/bin/dsvm-start"]
CMD []
