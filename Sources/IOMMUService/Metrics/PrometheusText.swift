/// The text exposition format of Prometheus, version 0.0.4.
package enum PrometheusText {
    /// - Parameter metrics: those of one name stand together.
    package static func render(_ metrics: [Metric]) -> String {
        var text = ""
        var last = ""
        for metric in metrics {
            let name = "iommud_\(metric.name)"
            if name != last {
                text += "# HELP \(name) \(metric.help)\n# TYPE \(name) \(metric.kind.rawValue)\n"
                last = name
            }
            text += name
            if let label = metric.label { text += "{\(label.name)=\"\(escaped(label.value))\"}" }
            text += " \(metric.value)\n"
        }
        return text
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
