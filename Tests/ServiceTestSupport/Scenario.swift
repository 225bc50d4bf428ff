import JSONRPC

/// A conversation with a daemon, as a file tells it: the same for every backend.
///
/// `== title` begins one, on a connection of its own. Then a line a request: method, parameters, and behind them what
/// has to come of it: `-> key $name` keeps a value of the result for later lines, `= {…}` is a part of the result. A
/// line that begins with `>` has to be refused, with the errno and the reason at its end.
package struct Scenario: Sendable {
    /// What it is about; unique.
    package let title: String
    package let steps: [Step]

    /// One request.
    package struct Step: Sendable {
        /// As in the file, for complaints.
        package let line: String
        package let method: String
        let params: String
        /// Keys of the result and the names that their values get.
        let kept: [(key: String, name: String)]
        package let expectation: Expectation
    }

    /// What has to come of a request.
    package enum Expectation: Sendable, Equatable {
        /// A result that has all of this in it, as JSON text.
        case result(String)
        case refusal(errno: String, reason: String)
    }

    /// A mistake in a file.
    package struct Malformed: Error {
        package let text: String
    }

    /// The scenarios of a file.
    package static func parse(_ text: String) throws(Malformed) -> [Scenario] {
        var scenarios: [Scenario] = []
        var title: String?
        var steps: [Step] = []
        for line in text.split(separator: "\n").map({ $0.drop { $0 == " " } }) where !line.hasPrefix("#") {
            guard line.hasPrefix("== ") else {
                guard title != nil else { throw Malformed(text: "a request before the first title: \(line)") }
                steps.append(try Step(String(line)))
                continue
            }
            if let title { scenarios.append(Scenario(title: title, steps: steps)) }
            title = String(line.dropFirst(3))
            steps = []
        }
        if let title { scenarios.append(Scenario(title: title, steps: steps)) }
        return scenarios
    }

    // MARK: Playing

    /// Plays it.
    ///
    /// - Parameters:
    ///   - differences: what comes of it elsewhere, by method.
    ///   - call: sends a request, and gives the whole reply.
    /// - Returns: what was not as it has to be.
    package func play(
        differences: [String: Expectation] = [:], _ call: (_ method: String, _ params: String) throws -> JSONValue
    ) -> [String] {
        var values: [(name: String, text: String)] = []
        for step in steps {
            let reply: JSONValue
            do {
                reply = try call(step.method, Self.fill(step.params, values))
            } catch {
                return ["\(title): \(step.line): \(error)"]
            }
            let expectation = differences[step.method] ?? step.expectation
            if let complaint = Self.complaint(reply, expectation, values) {
                return ["\(title): \(step.line): \(complaint)"]
            }
            for (key, name) in step.kept {
                guard let value = reply["result"]?[key] else { return ["\(title): \(step.line): no \(key)"] }
                values.append((name, value.text))
            }
        }
        return []
    }

    /// Longer names first, so that `$ioas2` is not `$ioas` and a 2.
    private static func fill(_ text: String, _ values: [(name: String, text: String)]) -> String {
        var filled = text
        for (name, value) in values.reversed().sorted(by: { $0.name.count > $1.name.count }) {
            filled = filled.split(separator: name, omittingEmptySubsequences: false).joined(separator: value)
        }
        return filled
    }

    private static func complaint(
        _ reply: JSONValue, _ expectation: Expectation, _ values: [(name: String, text: String)]
    ) -> String? {
        switch expectation {
        case .refusal(let errno, let reason):
            let data = reply["error"]?["data"]
            let isSo = data?["errno"]?.stringValue == errno && data?["reason"]?.stringValue == reason
            return isSo ? nil : reply.text
        case .result(let text):
            guard let result = reply["result"] else { return reply.text }
            guard let wanted = try? JSONValue(parsing: fill(text, values)) else { return "no JSON: \(text)" }
            return contains(result, wanted) ? nil : result.text
        }
    }

    /// Whether everything in `part` is in `whole`, lists in their order.
    private static func contains(_ whole: JSONValue, _ part: JSONValue) -> Bool {
        if let members = part.objectValue {
            return members.allSatisfy { member in whole[member.key].map { contains($0, member.value) } ?? false }
        }
        if let elements = part.arrayValue {
            guard let others = whole.arrayValue, others.count == elements.count else { return false }
            return zip(others, elements).allSatisfy { contains($0, $1) }
        }
        return whole == part
    }
}

extension Scenario.Step {
    init(_ line: String) throws(Scenario.Malformed) {
        self.line = line
        let isRefused = line.hasPrefix(">")
        let words = line.drop { $0 == ">" || $0 == " " }
        method = String(words.prefix { $0 != " " })
        let rest = words.dropFirst(method.count).drop { $0 == " " }
        params = String(try Self.object(rest, in: line))
        var tail = rest.dropFirst(params.count).drop { $0 == " " }
        guard !isRefused else {
            let words = tail.split(separator: " ").map(String.init)
            guard words.count == 2 else { throw Scenario.Malformed(text: line) }
            (kept, expectation) = ([], .refusal(errno: words[0], reason: words[1]))
            return
        }
        var kept: [(String, String)] = []
        var wanted = "{}"
        while !tail.isEmpty {
            let words = tail.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: true)
            if tail.hasPrefix("->"), words.count >= 3, words[2].hasPrefix("$") {
                kept.append((String(words[1]), String(words[2])))
                tail = words.count > 3 ? words[3] : ""
            } else if tail.hasPrefix("= ") {
                wanted = String(tail.dropFirst(2))
                tail = ""
            } else {
                throw Scenario.Malformed(text: line)
            }
        }
        (self.kept, expectation) = (kept, .result(wanted))
    }

    /// The object that a text begins with, up to its closing brace.
    private static func object(_ text: Substring, in line: String) throws(Scenario.Malformed) -> Substring {
        var depth = 0
        for index in text.indices {
            if text[index] == "{" { depth += 1 }
            if text[index] == "}" { depth -= 1 }
            if depth == 0 { return text[...index] }
        }
        throw Scenario.Malformed(text: line)
    }
}
