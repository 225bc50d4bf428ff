/// All figures as one page of text.
package enum MetricsPage {
    /// - Parameter metrics: those of one name stand together; counters, and nothing else, end with `_total`.
    package static func render(_ metrics: [Metric], as format: ExpositionFormat) -> String {
        var text = ""
        var last = ""
        for metric in metrics {
            let (name, value) = exposed(metric)
            if name != last {
                let family = family(of: name, metric.kind, format)
                text += "# HELP \(family) \(escaped(metric.help))\n# TYPE \(family) \(metric.kind.rawValue)\n"
                last = name
            }
            text += name
            let labels = metric.labels.map { "\($0.name)=\"\(escaped($0.value))\"" }
            if !labels.isEmpty { text += "{\(labels.joined(separator: ","))}" }
            text += " \(value)\n"
        }
        return format == .openMetrics ? text + "# EOF\n" : text
    }

    /// Prometheus counts in base units: what is microseconds elsewhere is seconds there, and so named.
    private static func exposed(_ metric: Metric) -> (name: String, value: String) {
        let unit = "_microseconds"
        guard metric.name.hasSuffix(unit) else { return ("iommud_\(metric.name)", "\(metric.value)") }
        let fraction = String(1_000_000 + metric.value % 1_000_000).dropFirst()
        return ("iommud_\(metric.name.dropLast(unit.count))_seconds", "\(metric.value / 1_000_000).\(fraction)")
    }

    private static func family(of name: String, _ kind: Metric.Kind, _ format: ExpositionFormat) -> String {
        let suffix = "_total"
        guard format == .openMetrics, kind == .counter, name.hasSuffix(suffix) else { return name }
        return String(name.dropLast(suffix.count))
    }

    private static func escaped(_ value: String) -> String {
        var result = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
