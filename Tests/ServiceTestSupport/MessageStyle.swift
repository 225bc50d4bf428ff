import JSONRPC

/// What `CONTRIBUTING.md` says of the messages of refusals, as far as a program can see it.
enum MessageStyle {
    /// Words for which there are better ones: what is wrong, and what to do.
    private static let shunned = ["invalid", "illegal", "please", "sorry", "must"]
    /// Members of `error.data` that are no objects involved, and how far a call has come.
    private static let others: Set<String> = [
        "errno", "reason", "method", "hint", "capability", "completed", "handled",
    ]

    /// Refusals in which the object is the daemon itself.
    private static let ofDaemon: Set<String> = ["no_descriptors"]

    /// What is wrong with the message of an `error`; nil if it is as agreed.
    static func problem(of error: JSONValue) -> String? {
        guard let message = error["message"]?.stringValue, let hint = error["data"]?["hint"]?.stringValue else {
            return "has no hint"
        }
        guard message.hasSuffix("; " + hint), !hint.isEmpty else { return "does not end with its hint" }
        let statement = String(message.dropLast(hint.count + 2))
        return problem(of: statement) ?? problem(of: hint) ?? shunned(in: statement)
            ?? unnamed(error["data"]?.objectValue ?? [], in: statement)
    }

    private static func problem(of text: String) -> String? {
        guard let first = text.first, let last = text.last else { return "is empty" }
        if first.isUppercase, text.dropFirst().first?.isLowercase == true { return "begins with a capital" }
        if ".!?:;, ".contains(last) || first == " " { return "ends with “\(last)”" }
        if text.contains("\"") || text.contains("`") { return "has other quotes than “ and ”" }
        return nil
    }

    private static func shunned(in statement: String) -> String? {
        let words = statement.lowercased().split { !$0.isLetter }
        return shunned.first { word in words.contains { $0 == word } }.map { "says “\($0)”" }
    }

    /// One of the objects involved, or a value that is wrong, is in the message.
    private static func unnamed(_ members: [JSONValue.Member], in statement: String) -> String? {
        guard !members.contains(where: { ofDaemon.contains($0.value.stringValue ?? "") }) else { return nil }
        let objects = members.filter { !others.contains($0.key) }
        let values = objects.flatMap { texts(of: $0.value) }.filter { !$0.isEmpty }
        guard !values.isEmpty, !values.contains(where: statement.contains) else { return nil }
        return "names none of " + objects.map(\.key).joined(separator: ", ")
    }

    private static func texts(of value: JSONValue) -> [String] {
        if let list = value.arrayValue { return list.flatMap(texts) }
        return [value.stringValue ?? value.intValue.map(String.init) ?? ""]
    }
}
