"""The text that Prometheus reads."""

from speechcls.serve.metrics import BUCKETS_S, Metrics


def test_the_text_is_that_of_prometheus():
    metrics = Metrics()
    metrics.add_request("/v1/predict", "POST", 200, 0.004)
    metrics.add_request("/v1/predict", "POST", 200, 0.005)
    metrics.add_request("/v1/predict", "POST", 422, 99.0)
    metrics.clips, metrics.open_streams = 2, 3
    lines = metrics.to_text().splitlines()
    assert lines[:4] == [
        "# HELP speechcls_requests_total Requests by route, method and status.",
        "# TYPE speechcls_requests_total counter",
        'speechcls_requests_total{route="/v1/predict",method="POST",status="200"} 2',
        'speechcls_requests_total{route="/v1/predict",method="POST",status="422"} 1',
    ]
    start = 'speechcls_request_seconds_bucket{route="/v1/predict",le='
    buckets = [line.removeprefix(start) for line in lines if line.startswith(start)]
    assert buckets[:2] == ['"0.002"} 0', '"0.005"} 2']
    assert buckets[-2:] == ['"60.0"} 2', '"+Inf"} 3']
    assert len(buckets) == len(BUCKETS_S) + 1
    assert 'speechcls_request_seconds_sum{route="/v1/predict"} 99.009000' in lines
    assert 'speechcls_request_seconds_count{route="/v1/predict"} 3' in lines
    assert "speechcls_clips_total 2" in lines
    assert "# TYPE speechcls_open_streams gauge" in lines
    assert "speechcls_open_streams 3" in lines
    assert metrics.to_text().endswith("\n")
