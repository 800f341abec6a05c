# speechcls for prediction and serving: without torch, not as root.
#   docker build -t speechcls .
#   docker run --rm -v "$PWD:/work" speechcls predict clip.wav
# What it writes belongs to you, where it runs as you:
#   docker run --rm -v "$PWD:/work" --user "$(id -u):$(id -g)" speechcls detect talk.wav --out words.txt
# As a server; SPEECHCLS_TOKEN is a secret of 16 characters or more:
#   docker run --rm -p 8765:8765 -e SPEECHCLS_TOKEN speechcls serve --host 0.0.0.0
#   docker run --rm -p 10400:10400 speechcls wyoming --uri tcp://0.0.0.0:10400
FROM python:3.12-slim AS build
# Beyond prediction: what serve and wyoming need, none of it large.
ARG PACKAGES="starlette uvicorn websockets wyoming zeroconf"
COPY constraints.txt requirements-predict.txt /src/
RUN python -m venv /opt/speechcls \
 && /opt/speechcls/bin/pip install --no-cache-dir -c /src/constraints.txt -r /src/requirements-predict.txt $PACKAGES
COPY . /src
RUN /opt/speechcls/bin/pip install --no-cache-dir --no-deps /src \
 && /opt/speechcls/bin/pip uninstall --yes pip

FROM python:3.12-slim
COPY --from=build /opt/speechcls /opt/speechcls
# Any user may write to the work folder where none is mounted.
RUN useradd --create-home --uid 1000 speechcls && mkdir --mode 1777 /work
USER speechcls
WORKDIR /work
ENV PATH=/opt/speechcls/bin:$PATH SPEECHCLS_CACHE=/tmp/speechcls
ENTRYPOINT ["speechcls"]
CMD ["--help"]
