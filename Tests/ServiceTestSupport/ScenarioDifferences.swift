/// Where another system than the emulated one answers a scenario differently, a line each:
/// `title | method | ERRNO reason | kernel function: why`, or `ok` where it is not refused.
package struct ScenarioDifferences: Sendable {
    /// More lines than this mean that the scenarios are not the contract any more.
    package static let mostLines = 25

    /// By title, then by method.
    package private(set) var expectations: [String: [String: Scenario.Expectation]] = [:]
    package private(set) var lines = 0

    /// The differences of a file.
    package init(_ text: String) throws(Scenario.Malformed) {
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let fields = line.split(separator: "|").map { field in
                String(field.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
            }
            guard fields.count == 4, !fields[3].isEmpty else { throw Scenario.Malformed(text: String(line)) }
            let words = fields[2].split(separator: " ").map(String.init)
            switch words.count {
            case 1 where words[0] == "ok": expectations[fields[0], default: [:]][fields[1]] = .result("{}")
            case 2:
                expectations[fields[0], default: [:]][fields[1]] = .refusal(errno: words[0], reason: words[1])
            default: throw Scenario.Malformed(text: String(line))
            }
            lines += 1
        }
    }
}
