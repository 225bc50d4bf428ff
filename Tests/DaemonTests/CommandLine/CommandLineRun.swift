import JSONRPC
import TestSupport

/// One run of `iommuctl`: how it ended and what it said.
struct CommandLineRun {
    let status: Int32
    let text: String

    var json: JSONValue? { try? JSONValue(parsing: text) }
    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

    init(status: Int32, text: String) {
        self.status = status
        self.text = text
    }

    /// Runs it against a daemon.
    init(
        _ daemon: RunningDaemon, _ arguments: [String], descriptors: [Int32] = [], environment: [String: String] = [:],
        streams: (input: Int32, output: Int32)? = nil
    ) throws {
        let process = try ChildProcess(
            BuiltProgram.iommuctl, arguments,
            environment: ["IOMMUD_SOCKET": daemon.socket].merging(environment) { $1 }, descriptors: descriptors,
            streams: streams)
        status = process.wait()
        text = process.text
    }
}
