# speechcls for prediction: without torch, not as root.
#   docker build -t speechcls .
#   docker run --rm -v "$PWD:/work" speechcls predict clip.wav
# As a server for Home Assistant:
#   docker build -t speechcls --build-arg PACKAGES="wyoming zeroconf" .
#   docker run --rm -p 10400:10400 speechcls wyoming --uri tcp://0.0.0.0:10400
FROM python:3.12-slim AS build
ARG PACKAGES=
COPY . /src
RUN python -m venv /opt/speechcls \
 && /opt/speechcls/bin/pip install --no-cache-dir -c /src/constraints.txt -r /src/requirements-predict.txt $PACKAGES \
 && /opt/speechcls/bin/pip install --no-cache-dir --no-deps /src

FROM python:3.12-slim
COPY --from=build /opt/speechcls /opt/speechcls
RUN useradd --create-home --uid 1000 speechcls
USER speechcls
WORKDIR /work
ENV PATH=/opt/speechcls/bin:$PATH
ENTRYPOINT ["speechcls"]
CMD ["--help"]
