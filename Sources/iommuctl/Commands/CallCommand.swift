import ArgumentParser
import Glibc
import JSONRPC

/// `iommuctl call METHOD [PARAMS]`
struct CallCommand: DaemonCommand {
    static let configuration = CommandConfiguration(
        commandName: "call",
        abstract: "Call a method by its name.",
        discussion: """
            PARAMS are one JSON object, or KEY=VALUE words, or - to read the object from standard input:

              iommuctl call ioas.map '{"ioas": 1, "memory": 1, "length": "0x10000"}'
              iommuctl call ioas.map ioas=1 memory=guest length=64K access=read,write

            Values are JSON, or what the method declares: numbers with units, names of devices and memory in place of
            ids, lists with commas, bytes as @FILE, text:… or hex:…. `iommuctl methods METHOD` describes one.
            """)

    @OptionGroup var options: GlobalOptions
    @OptionGroup var call: CallOptions

    @Argument(help: "The method's name.")
    var method: String

    @Argument(help: ArgumentHelp("The parameters.", valueName: "params"))
    var parameters: [String] = []

    func run(on daemon: Daemon) throws {
        let isObject = parameters == ["-"] || CallParameters.isObject(parameters)
        let object = isObject ? try CallParameters.object(parameters) : nil
        if object == nil { try CallParameters.check(parameters) }
        // Who writes JSON and reads JSON needs nothing of what the daemon declares.
        let declared = object == nil || options.output == .table || call.raw ? try declaration(daemon) : nil
        try call.session.enter(daemon, create: true)
        let values =
            try object
            ?? declared.map { method throws(Failure) in
                try VerbArguments(method, ValueReader(names: NameTable(daemon))).parse(parameters, insisting: false)
            }
        try MethodCall(method: declared, name: method, parameters: values ?? .object([]))
            .run(on: daemon, call, options.output)
    }

    private func declaration(_ daemon: Daemon) throws(Failure) -> MethodSchema {
        let catalog = try daemon.catalog()
        guard let found = catalog.method(method) else { throw catalog.unknown(method) }
        return found
    }
}

/// Parameters on the command line.
enum CallParameters {
    /// Whether the words are one JSON object.
    static func isObject(_ words: [String]) -> Bool {
        words.count == 1 && words[0].first { $0 != " " && $0 != "\n" } == "{"
    }

    /// The object that is written there, or that comes from standard input.
    static func object(_ words: [String]) throws(Failure) -> JSONValue {
        try object(words == ["-"] ? String(decoding: FileContents.named("-"), as: UTF8.self) : words[0])
    }

    /// One JSON object.
    static func object(_ text: String) throws(Failure) -> JSONValue {
        let value: JSONValue
        do throws(JSONSyntaxError) {
            value = try JSONValue(parsing: text)
        } catch {
            throw .usage("the parameters are not JSON: \(error)")
        }
        guard value.objectValue != nil else { throw .usage("the parameters are not a JSON object") }
        return value
    }

    /// Whether the words can be KEY=VALUE.
    static func check(_ words: [String]) throws(Failure) {
        for word in words where word.first == "=" || !word.contains("=") {
            throw .usage("“\(word)” is neither a JSON object nor KEY=VALUE")
        }
    }
}
