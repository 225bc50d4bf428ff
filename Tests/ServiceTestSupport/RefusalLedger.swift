import Foundation
import IOMMUService
import JSONRPC
import Synchronization

/// The error replies and events that tests meet, held against the document of the daemon.
///
/// With `IOMMUD_REFUSALS` set to a directory, what is declared and what was met is left there, a line each, for
/// `Tests/Support/check-refusals`.
package final class RefusalLedger: Sendable {
    /// Of this process.
    package static let shared = RefusalLedger()

    /// `method code reason`; of what concerns no method, `- code reason`.
    package let declared: Set<String>
    private let check: DocumentCheck
    /// Of results, by method.
    private let schemas: [String: JSONValue]
    private let results = Mutex<[String: Int]>([:])
    private let met = Mutex<Set<String>>([])
    private let directory = ProcessInfo.processInfo.environment["IOMMUD_REFUSALS"]

    init() {
        let document = MethodCatalog.document()
        check = DocumentCheck(document)
        var declared: Set<String> = []
        var schemas: [String: JSONValue] = [:]
        for method in document["methods"]?.arrayValue ?? [] {
            let name = method["name"]?.stringValue ?? ""
            declared.formUnion(Self.entries(name, method["errors"]?.arrayValue ?? []))
            schemas[name] = method["result"]?["schema"]
        }
        declared.formUnion(Self.entries("-", document["components"]?["errors"]?.objectValue?.map(\.value) ?? []))
        self.declared = declared
        self.schemas = schemas
        if let directory {
            let lines = declared.sorted().joined(separator: "\n") + "\n"
            try? lines.write(toFile: directory + "/declared", atomically: true, encoding: .utf8)
        }
    }

    private static func entries(_ method: String, _ errors: [JSONValue]) -> [String] {
        errors.flatMap { error in
            (error["data"]?["reasons"]?.arrayValue ?? []).map {
                "\(method) \(error["code"]?.intValue ?? 0) \($0["reason"]?.stringValue ?? "")"
            }
        }
    }

    /// Looks at one line that the daemon sent.
    ///
    /// - Returns: what it answers although the document does not declare it, or otherwise than agreed.
    package func enter(line: [UInt8]) -> [String] {
        guard let message = try? JSONValue(parsing: line) else { return [] }
        if message["method"] == .string("event"), let params = message["params"] {
            let kinds = check.component("Event")?["discriminator"]?["mapping"]
            guard let kind = params["kind"]?.stringValue, let schema = kinds?[kind] else { return ["\(params.text)?"] }
            return check.problems(params, .object([.init(key: "$ref", value: schema)]), at: "event \(kind)")
        }
        return (message.arrayValue ?? [message]).compactMap { enter($0) }
    }

    /// Looks at the result of a method: the first twenty of each in a process, for some are asked for thousands of
    /// times.
    ///
    /// - Returns: what is in it that the document does not declare, and what is missing.
    package func problems(of result: JSONValue, to method: String) -> [String] {
        let count = results.withLock { counts in
            counts[method, default: 0] += 1
            return counts[method, default: 0]
        }
        guard count <= 20, let schema = schemas[method] else { return [] }
        return check.problems(result, schema, at: method)
    }

    /// Looks at one reply; nil if it is none of an error, or one that is declared and worded as agreed.
    package func enter(_ reply: JSONValue) -> String? {
        guard let error = reply["error"], let code = error["code"]?.intValue else { return nil }
        let reason = error["data"]?["reason"]?.stringValue ?? ""
        let entries = [error["data"]?["method"]?.stringValue ?? "-", "-"].map { "\($0) \(code) \(reason)" }
        guard let entry = entries.first(where: declared.contains) else { return "not declared: \(entries[0])" }
        note(entry)
        return MessageStyle.problem(of: error).map { "the message of \(entry) \($0): \(error.text)" }
    }

    private func note(_ entry: String) {
        guard met.withLock({ $0.insert(entry).inserted }), let directory else { return }
        let path = directory + "/met-\(ProcessInfo.processInfo.processIdentifier)"
        guard let file = fopen(path, "a") else { return }
        fputs(entry + "\n", file)
        fclose(file)
    }
}
