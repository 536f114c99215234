# One image for every process: `docker build -t notifier .`, then `docker run notifier web`, `worker`, `scheduler` …
# deploy/compose.yaml and deploy/kubernetes/ show an installation of it.

FROM node:22-bookworm-slim AS assets
WORKDIR /notifier
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY assets.mjs ./
COPY static static
COPY templates templates
COPY notifier/web notifier/web
RUN node assets.mjs

FROM python:3.13-slim-bookworm AS package
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /notifier
RUN python -m venv /opt/notifier
# Apart from our own code, so that a change of it does not fetch these again. They come as wheels, but for one that is
# pure Python: no compiler.
COPY requirements.lock requirements-kafka.lock requirements-otel.lock requirements-rabbitmq.lock requirements-sqs.lock ./
RUN /opt/notifier/bin/pip install --only-binary :all: --no-binary http-ece --require-hashes \
    -r requirements.lock -r requirements-kafka.lock -r requirements-otel.lock \
    -r requirements-rabbitmq.lock -r requirements-sqs.lock
COPY . .
COPY --from=assets /notifier/static/built static/built
# What nobody asks of a running image: pip, and which town and carrier a phone number belongs to
RUN /opt/notifier/bin/pip install --no-deps . \
    && /opt/notifier/bin/pip uninstall --yes pip \
    && rm -r /opt/notifier/lib/python3.13/site-packages/phonenumbers/geodata \
        /opt/notifier/lib/python3.13/site-packages/phonenumbers/carrierdata

FROM python:3.13-slim-bookworm
RUN useradd --uid 10001 --home-dir /var/lib/notifier --no-create-home --shell /usr/sbin/nologin notifier \
    && install -d -m 700 -o notifier -g notifier /var/lib/notifier
COPY --from=package /opt/notifier /opt/notifier
ENV PATH=/opt/notifier/bin:$PATH \
    NOTIFIER_ENV=production \
    NOTIFIER_HOME=/var/lib/notifier \
    HOST=0.0.0.0 \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /var/lib/notifier
VOLUME /var/lib/notifier
EXPOSE 5000
# Of `web` and `up`; compose and Kubernetes say how the others are looked after.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(f\"http://127.0.0.1:{os.environ.get('PORT', '5000')}/healthz\", timeout=4)"]
ENTRYPOINT ["notifier"]
CMD ["up"]
