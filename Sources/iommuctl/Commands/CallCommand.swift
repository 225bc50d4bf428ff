import ArgumentParser
import Glibc
import JSONRPC

/// `iommuctl call METHOD [PARAMS]`
struct CallCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "call",
        abstract: "Call any method.",
        discussion: """
            PARAMS are one JSON object, or KEY=VALUE words whose values are JSON or else plain text, or - to read the
            object from standard input:

              iommuctl call ioas.map '{"ioas": 1, "memory": 1, "length": "0x10000"}'
              iommuctl call ioas.map ioas=1 memory=1 length=0x10000

            `iommuctl methods METHOD` describes one.
            """)

    @OptionGroup var options: GlobalOptions

    @Option(
        name: .customLong("session"), help: "Work in this named session, made if it is not there, not a private one.")
    var sessionName: String?

    @Option(
        name: .customLong("fd"),
        help: ArgumentHelp(
            "Send this open file descriptor along, as in --fd 3 3<file; may be repeated.", valueName: "number"))
    var descriptors: [Int32] = []

    @Argument(help: "The method's name.")
    var method: String

    @Argument(help: ArgumentHelp("The parameters.", valueName: "params"))
    var parameters: [String] = []

    func run() throws {
        let params = try CallParameters.parse(parameters)
        let daemon = try options.connect()
        try daemon.enter(session: sessionName)
        let result = try daemon.call(method, params, descriptors: descriptors)
        let dropped = daemon.dropDescriptors()
        if dropped > 0 {
            StandardOutput.writeError("iommuctl: closed \(dropped) descriptor(s) that came with the reply\n")
        }
        options.output.show(result)
    }
}

/// Parameters on the command line.
enum CallParameters {
    static func parse(_ words: [String]) throws(Failure) -> JSONValue {
        if words == ["-"] { return try object(StandardInput.readAll()) }
        guard words.count != 1 || words[0].first(where: { $0 != " " && $0 != "\n" }) != "{" else {
            return try object(words[0])
        }
        var members: [JSONValue.Member] = []
        for word in words {
            guard let equals = word.firstIndex(of: "="), equals != word.startIndex else {
                throw .usage("“\(word)” is neither a JSON object nor KEY=VALUE")
            }
            let text = String(word[word.index(after: equals)...])
            let value = (try? JSONValue(parsing: text)) ?? .string(text)
            members.append(JSONValue.Member(key: String(word[..<equals]), value: value))
        }
        return .object(members)
    }

    private static func object(_ text: String) throws(Failure) -> JSONValue {
        let value: JSONValue
        do throws(JSONSyntaxError) {
            value = try JSONValue(parsing: text)
        } catch {
            throw .usage("the parameters are not JSON: \(error)")
        }
        guard value.objectValue != nil else { throw .usage("the parameters are not a JSON object") }
        return value
    }
}

/// Standard input as text.
enum StandardInput {
    /// Everything up to its end.
    static func readAll() -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(STDIN_FILENO, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer.prefix(count)
        }
    }
}

extension Daemon {
    /// Makes a named session this connection's.
    ///
    /// - Parameter create: whether to make it if it is not there.
    func enter(session name: String?, create: Bool = true) throws(Failure) {
        guard let name else { return }
        _ = try call("session.attach", ["name": .string(name), "create": .bool(create)])
    }
}
