# Debian's Prometheus, or with WHAT=prometheus-node-exporter that.
ARG BASE
FROM ${BASE}
ARG WHAT=prometheus
RUN apt-get update \
  && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $WHAT \
  && rm -rf /var/lib/apt/lists/* \
  && ln -s /usr/bin/$WHAT /usr/local/bin/start && install -d -o prometheus /prometheus
USER prometheus
ENTRYPOINT ["start"]
