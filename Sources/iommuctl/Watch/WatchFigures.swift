import JSONRPC
import LinuxIO

/// What a daemon is at, at one moment.
struct WatchFigures {
    let info: JSONValue
    let stats: JSONValue
    let sessions: [JSONValue]
    let devices: [JSONValue]
    /// Nanoseconds of the monotonic clock.
    let time = MonotonicClock.nanoseconds

    init(of daemon: Daemon) throws(Failure) {
        info = try daemon.call("daemon.info")
        stats = try daemon.call("daemon.stats")
        sessions = try daemon.call("session.list")["sessions"]?.arrayValue ?? []
        devices = try daemon.call("topology.list")["devices"]?.arrayValue ?? []
    }

    /// The requests that this makes itself: they are no one's work.
    private static let own: Set<String> = ["daemon.info", "daemon.stats", "session.list", "topology.list"]

    /// How much of each a second: requests and errors by method, the busiest first.
    func rates(since before: WatchFigures) -> [(method: String, requests: Double, errors: Double)] {
        let seconds = max(0.001, Double(time &- before.time) / 1e9)
        let rates = (stats["requests"]?.objectValue ?? []).map { member in
            (
                method: member.key, requests: Self.growth(member, before.stats["requests"]) / seconds,
                errors: Self.growth(
                    .init(key: member.key, value: stats["errors"]?[member.key] ?? .integer(0)), before.stats["errors"])
                    / seconds
            )
        }
        return rates.filter { $0.requests > 0 && !Self.own.contains($0.method) }
            .sorted { ($1.requests, $0.method) < ($0.requests, $1.method) }
    }

    private static func growth(_ member: JSONValue.Member, _ before: JSONValue?) -> Double {
        let now = member.value.unsignedValue ?? 0
        let then = before?[member.key]?.unsignedValue ?? 0
        return Double(now >= then ? now - then : now)
    }

    /// The longest turn since the start: what the loop was at, and microseconds.
    var worstTurn: (work: String, microseconds: UInt64)? {
        (stats["longest_turn_microseconds"]?.objectValue ?? [])
            .map { (work: $0.key, microseconds: $0.value.unsignedValue ?? 0) }
            .max { $0.microseconds < $1.microseconds }
    }

    /// Devices that somebody holds, and all.
    var held: (count: Int, of: Int) {
        (devices.filter { $0["bound_by"]?.stringValue != nil }.count, devices.count)
    }

    /// A figure of `daemon.stats`.
    func gauge(_ name: String) -> String { Table.cell(stats["gauges"]?[name]) }
}
