import LinuxIO
import Systemd

// How long others had to wait.

extension Service {
    /// Turns by their length, and the longest of each method.
    func turnMetrics() -> [Metric] {
        let turns = loop.meter.pointee.statistics
        let bounds = TurnStatistics.bounds.map(String.init) + ["more"]
        let buckets = zip(bounds, turns.buckets).map { bound, count in
            Metric(
                .counter, "turns_total", "Turns of the loop, by the microseconds that they stayed below", count,
                label: .init(name: "below", value: bound))
        }
        let longest = turns.longest.map { label, microseconds in
            Metric(
                .gauge, "longest_turn_microseconds", "The longest turn of the loop since the start, by what it was at",
                microseconds, label: .init(name: "work", value: name(of: label)))
        }
        return buckets + longest.sorted { ($0.label?.value ?? "") < ($1.label?.value ?? "") } + [
            Metric(
                .counter, "log_entries_left_out_total", "Log entries that the log had no room for", LeftOutEntries.count
            )
        ]
    }

    private func name(of label: TurnLabel) -> String {
        if label == .end { return "end of a connection" }
        guard let method = label.method, let dispatcher, dispatcher.declarations.indices.contains(method) else {
            return "other"
        }
        return dispatcher.declarations[method].title
    }
}
