import IOMMUService
import Testing

struct PrometheusTextTests {
    @Test func rendersEachNameOnceWithItsHelpAndType() {
        let registry = MetricsRegistry()
        registry.add {
            [
                Metric(
                    .counter, "requests_total", "Requests answered", 3,
                    label: .init(name: "method", value: "ioas.map")),
                Metric(
                    .counter, "requests_total", "Requests answered", 4, label: .init(name: "method", value: "a\"b\\")),
            ]
        }
        registry.add { [Metric(.gauge, "sessions", "Sessions that exist", 2)] }
        #expect(
            PrometheusText.render(registry.read()) == """
                # HELP iommud_requests_total Requests answered
                # TYPE iommud_requests_total counter
                iommud_requests_total{method="ioas.map"} 3
                iommud_requests_total{method="a\\"b\\\\"} 4
                # HELP iommud_sessions Sessions that exist
                # TYPE iommud_sessions gauge
                iommud_sessions 2

                """
        )
    }
}
