import IOMMUService
import Testing

struct MetricsPageTests {
    private let figures: [Metric]

    init() {
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
        figures = registry.read()
    }

    @Test func textNamesACounterAsItsSamples() {
        #expect(
            MetricsPage.render(figures, as: .text) == """
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

    /// promtool refuses other units than seconds.
    @Test(arguments: [0, 41, 1_000_000, 2_345_678] as [UInt64]) func microsecondsAreSeconds(value: UInt64) {
        let page = MetricsPage.render([Metric(.gauge, "wait_microseconds", "A wait", value)], as: .text)
        let seconds: [UInt64: String] = [0: "0.000000", 41: "0.000041", 1_000_000: "1.000000", 2_345_678: "2.345678"]
        #expect(page.hasSuffix("# TYPE iommud_wait_seconds gauge\niommud_wait_seconds \(seconds[value] ?? "")\n"))
    }

    @Test func openMetricsNamesTheFamilyWithoutTotalAndEnds() {
        #expect(
            MetricsPage.render(figures, as: .openMetrics) == """
                # HELP iommud_requests Requests answered
                # TYPE iommud_requests counter
                iommud_requests_total{method="ioas.map"} 3
                iommud_requests_total{method="a\\"b\\\\"} 4
                # HELP iommud_sessions Sessions that exist
                # TYPE iommud_sessions gauge
                iommud_sessions 2
                # EOF

                """
        )
    }

    @Test(
        arguments: [
            ([], .text),
            (["*/*"], .text),
            (["text/html, application/json"], .text),
            (["application/openmetrics-text"], .openMetrics),
            (["Application/OpenMetrics-Text; Version=\"1.0.0\" ; charset=utf-8"], .openMetrics),
            (["application/openmetrics-text;version=0.0.1"], .text),
            (["application/openmetrics-text;version=2.0.0, */*;q=0.1"], .text),
            (["text/plain;q=0.5, application/openmetrics-text;q=0.6"], .openMetrics),
            (["text/plain;q=0.6", "application/openmetrics-text;q=0.5"], .text),
            (["application/*;q=0.9, text/*;q=0.8"], .openMetrics),
            (["application/openmetrics-text;q=0, */*"], .text),
            // The more specific range counts, not the heavier one.
            (["application/openmetrics-text;q=0.2, application/*;q=0.9, text/plain;q=0.3"], .text),
            (["application/openmetrics-text;q=many, text/plain;q=0.1"], .text),
            // Prometheus 2.42 and 3.5.
            (
                [
                    """
                    application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                    text/plain;version=0.0.4;q=0.5,*/*;q=0.1
                    """
                ], .openMetrics
            ),
            (
                [
                    """
                    application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                    application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                    text/plain;version=0.0.4;q=0.3,*/*;q=0.2
                    """
                ], .openMetrics
            ),
        ] as [([String], ExpositionFormat)])
    func theClientsWishDecides(accept: [String], format: ExpositionFormat) {
        #expect(ExpositionFormat.preferred(accept: accept) == format, "\(accept)")
    }
}
