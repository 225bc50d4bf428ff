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
    private let met = Mutex<Set<String>>([])
    private let directory = ProcessInfo.processInfo.environment["IOMMUD_REFUSALS"]

    init() {
        let document = MethodCatalog.document()
        check = DocumentCheck(document)
        var declared: Set<String> = []
        for method in document["methods"]?.arrayValue ?? [] {
            declared.formUnion(Self.entries(method["name"]?.stringValue ?? "", method["errors"]?.arrayValue ?? []))
        }
        declared.formUnion(Self.entries("-", document["components"]?["errors"]?.objectValue?.map(\.value) ?? []))
        self.declared = declared
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
            return check.problems(params, check.component("Event") ?? .null, at: "an event")
        }
        return (message.arrayValue ?? [message]).compactMap { enter($0) }
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
