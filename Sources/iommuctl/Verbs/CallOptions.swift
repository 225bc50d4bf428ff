import ArgumentParser
import JSONRPC

/// Options of whatever calls a method of the daemon.
struct CallOptions: ParsableArguments {
    @OptionGroup var session: SessionOption

    @Option(
        name: .customLong("fd"),
        help: ArgumentHelp(
            "Send this open file descriptor along, as in --fd 3 3<file; may be repeated.", valueName: "number"))
    var descriptors: [Int32] = []

    @Flag(help: "Write the bytes of the answer as they are, such as those of dma.read.")
    var raw = false

    static let words = OptionWords(
        flags: GlobalOptions.words.flags.union(["--raw"]),
        valued: GlobalOptions.words.valued.union(["--session", "--fd"]))
}

/// All options of a command that is named after a method.
struct VerbOptions: ParsableArguments {
    @OptionGroup var options: GlobalOptions
    @OptionGroup var call: CallOptions
}

/// A call of a method, from the command line to what is shown.
struct MethodCall {
    let method: MethodSchema?
    let name: String
    let parameters: JSONValue

    /// Calls it and shows what comes back.
    func run(on daemon: Daemon, _ call: CallOptions, _ output: Output) throws(Failure) {
        let result: JSONValue
        if let batches = MappingBatches(self) {
            result = try batches.run(on: daemon)
        } else {
            result = try daemon.call(name, parameters, descriptors: call.descriptors)
        }
        let dropped = daemon.dropDescriptors()
        if dropped > 0 {
            StandardOutput.writeError("iommuctl: closed \(dropped) descriptor(s) that came with the reply\n")
        }
        let text = ResultText(method: method, parameters: parameters)
        if call.raw { try text.writeBytes(result) } else { text.show(result, as: output) }
        daemon.remember(result)
        // Entering and leaving sessions by their methods is what the connection has to know of.
        if name == "session.attach" || name == "session.close" {
            daemon.moved(to: result["session"]?["name"]?.stringValue)
        }
    }
}
