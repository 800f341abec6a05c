"""A model behind HTTP and WebSocket: recordings and streams in, predictions and events out.

``settings``: ``ServeConfig``, every limit. ``models``: ``ModelSet``, ``ServedModel``. ``bodies``:
recordings from the body of a request. ``work``: ``Pool``, ``predict``, ``detect``, off the event
loop. ``streams``: ``/v1/stream``. ``guard``: ``Refusal``, ``Guard``: who may ask, and how often.
``metrics``: ``Metrics``, for Prometheus. ``openapi``: ``describe_api``. ``app``: ``make_app``, all
routes. ``server``: ``Server``, which listens and stops.

Starlette and uvicorn are imported at the start of modules here, but of ``settings``: only the
command ``serve`` imports the others.
"""
