import JSONRPC

/// What is shown of figures: lines for a terminal, or one object.
struct WatchView {
    let figures: WatchFigures
    let before: WatchFigures
    /// The faults of devices since this began, the last ones at the end.
    let faults: (count: Int, last: [JSONValue])

    /// - Parameter height: so many lines at most.
    func lines(_ terminal: Terminal, height: Int) -> [String] {
        var text = head(terminal) + "\n" + sessions(terminal) + "\n" + requests(terminal)
        if !faults.last.isEmpty { text += "\n" + recentFaults(terminal) }
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        while lines.last == "" { lines.removeLast() }
        return Array(lines.prefix(height))
    }

    private func head(_ terminal: Terminal) -> String {
        let info = figures.info
        let title =
            "\(Table.cell(info["name"])) \(Table.cell(info["version"])), \(Table.cell(info["backend"])), up "
            + Self.duration(info["uptime_seconds"]?.unsignedValue ?? 0)
        var table = Table(header: [])
        table.add("connections", figures.gauge("connections"), "sessions", figures.gauge("sessions"))
        table.add("objects", "\(objects)", "mapped", Amount.rounded(mappedBytes))
        table.add("devices held", "\(figures.held.count) of \(figures.held.of)", "faults seen", "\(faults.count)")
        let turn = figures.worstTurn.map { "\($0.microseconds) µs (\($0.work))" } ?? "-"
        return terminal.paint(title, .bold) + "\n" + table.text(on: terminal) + "worst turn    \(turn)\n"
    }

    private var objects: UInt64 { figures.sessions.reduce(0) { $0 + ($1["objects"]?.unsignedValue ?? 0) } }
    private var mappedBytes: UInt64 { figures.sessions.reduce(0) { $0 &+ ($1["mapped_bytes"]?.unsignedValue ?? 0) } }

    private func sessions(_ terminal: Terminal) -> String {
        let largest = figures.sessions.sorted {
            ($1["objects"]?.unsignedValue ?? 0) < ($0["objects"]?.unsignedValue ?? 0)
        }
        var table = Table("SESSION", "USER", "CONNECTIONS", "OBJECTS", "MAPPED")
        for session in largest.prefix(8) {
            table.add(
                session["name"]?.stringValue ?? "(private, of process \(Table.cell(session["owner_pid"])))",
                Table.cell(session["owner_uid"]), Table.cell(session["connections"]), Table.cell(session["objects"]),
                Amount.rounded(session["mapped_bytes"]?.unsignedValue ?? 0))
        }
        let more = largest.count - 8
        return table.text(on: terminal) + (more > 0 ? "… and \(more) more\n" : "")
    }

    private func requests(_ terminal: Terminal) -> String {
        let rates = figures.rates(since: before)
        var table = Table("METHOD", "A SECOND", "ERRORS")
        for rate in rates.prefix(8) { table.add(rate.method, Self.rate(rate.requests), Self.rate(rate.errors)) }
        return table.isEmpty ? "no requests\n" : table.text(on: terminal)
    }

    private func recentFaults(_ terminal: Terminal) -> String {
        var table = Table("TIME", "DEVICE", "FAULT", "ADDRESS", "MEANING")
        for fault in faults.last {
            let time = Table.cell(fault["time"]).split(separator: "T").last.map { String($0.prefix(12)) } ?? "-"
            table.add(
                time, Table.cell(fault["name"] ?? fault["device"] ?? fault["stream_id"]),
                Table.cell(fault["type"] ?? fault["kind"]), Table.cell(fault["address"] ?? fault["addr"]),
                Table.cell(fault["meaning"]))
        }
        return table.text(on: terminal)
    }

    /// For programs.
    var json: JSONValue {
        let rates = figures.rates(since: before).map { rate in
            JSONValue.object([
                .init(key: "method", value: .string(rate.method)),
                .init(key: "requests", value: .number(rate.requests)),
                .init(key: "errors", value: .number(rate.errors)),
            ])
        }
        let turn = figures.worstTurn
        return .object([
            .init(key: "objects", value: .count(objects)), .init(key: "mapped_bytes", value: .count(mappedBytes)),
            .init(key: "devices_held", value: .integer(figures.held.count)),
            .init(key: "faults", value: .integer(faults.count)),
            .init(key: "worst_turn_microseconds", value: .count(turn?.microseconds ?? 0)),
            .init(key: "rates", value: .array(rates)), .init(key: "sessions", value: .array(figures.sessions)),
        ])
    }

    private static func rate(_ value: Double) -> String {
        value >= 10 || value == 0 ? "\(Int(value.rounded()))" : "\(Double(Int((value * 10).rounded())) / 10)"
    }

    private static func duration(_ seconds: UInt64) -> String {
        let units: [(UInt64, String)] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")]
        let parts = units.map { size, name in (seconds / size % (name == "d" ? .max : name == "h" ? 24 : 60), name) }
        let shown = parts.drop { $0.0 == 0 }.prefix(2)
        return shown.isEmpty ? "0 s" : shown.map { "\($0.0) \($0.1)" }.joined(separator: " ")
    }
}
