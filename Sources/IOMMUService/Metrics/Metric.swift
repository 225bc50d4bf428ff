/// One figure, the same in `daemon.stats` and in the text that Prometheus reads.
package struct Metric: Sendable, Equatable {
    /// Prometheus' types, by the names that both of its formats have for them.
    package enum Kind: String, Sendable {
        /// Only grows while the daemon runs.
        case counter
        /// How much there is now.
        case gauge
    }

    /// Without the `iommud_` prefix. Counters, and nothing else, end with `_total`; no gauge has the name of a counter
    /// without it, which is the name of the counter's family in OpenMetrics.
    package var name: String
    package var kind: Kind
    /// What it counts, in one sentence without a full stop.
    package var help: String
    package var value: UInt64
    /// Labels and their values, such as ("method", "ioas.map"); all figures of a name have the same.
    package var labels: [Label]
    /// The first of them.
    package var label: Label? { labels.first }

    package struct Label: Sendable, Equatable {
        package var name: String
        package var value: String

        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    package init(_ kind: Kind, _ name: String, _ help: String, _ value: UInt64, label: Label? = nil) {
        self.init(kind, name, help, value, labels: label.map { [$0] } ?? [])
    }

    package init(_ kind: Kind, _ name: String, _ help: String, _ value: UInt64, labels: [Label]) {
        self.name = name
        self.kind = kind
        self.help = help
        self.value = value
        self.labels = labels
    }
}

/// Whatever has figures: asked when somebody wants to see them, so that counting costs nothing but the count.
package final class MetricsRegistry {
    private var sources: [() -> [Metric]] = []

    package init() {}

    /// - Parameter source: asked each time; lists the figures of one name together, and no other source has that name.
    package func add(_ source: @escaping () -> [Metric]) { sources.append(source) }

    /// Every figure now; those of one name stand together.
    package func read() -> [Metric] { sources.flatMap { $0() } }
}
