# Debian's PostgreSQL under the names that the official image uses: its environment, port and folder.
ARG BASE
FROM ${BASE}
RUN apt-get update \
  && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql \
  && rm -rf /var/lib/apt/lists/* \
  && ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/ || true
COPY postgres /usr/local/bin/start
RUN install -d -o postgres /var/lib/postgresql/data
USER postgres
CMD ["start"]
